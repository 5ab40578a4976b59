"""Readers of the packs' files, one format a file."""
