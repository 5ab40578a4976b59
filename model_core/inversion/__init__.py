"""Codes optimised until their images match: the iterator and what uses it."""
