"""Checkpoints of other projects: layouts, inspection, and the import into the cache."""
