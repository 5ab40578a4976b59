"""Generators: one contract, one family per file."""
