"""Edits of W+ codes: pure functions, and attribute directions."""
