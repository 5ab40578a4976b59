"""Codes kept for a while under an id, in memory or in Redis."""
