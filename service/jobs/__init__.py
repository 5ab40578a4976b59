"""Refine jobs: worker processes optimise codes for minutes, through Redis or Valkey."""
