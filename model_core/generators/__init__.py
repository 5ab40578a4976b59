"""Generators: one contract, one family a file."""
