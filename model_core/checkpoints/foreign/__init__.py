"""Readers of other projects' layouts, one file per layout; each maps its keys to ours."""
