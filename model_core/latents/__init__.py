"""Edits of W+ codes: pure functions, and directions of attributes."""
