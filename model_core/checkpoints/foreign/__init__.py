"""Layouts of other projects: one file a layout, each read by mapping its keys to ours."""
