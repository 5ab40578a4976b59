"""Refine jobs: codes optimised for minutes, by worker processes, through Redis or Valkey."""
