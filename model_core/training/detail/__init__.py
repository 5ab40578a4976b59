"""Training of the detail encoder: its losses, its loop and how its runs are built."""
