"""Readers of the packs' files, one format per file."""
