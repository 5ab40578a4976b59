"""Figures of networks on photographs; nothing that serves imports it."""
