"""Codes optimised until their images match: the iterator and its users."""
