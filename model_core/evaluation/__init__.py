"""Evaluation of embedding networks on photographs; the serving code never imports it."""
