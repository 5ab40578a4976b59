"""The client of the service; it imports neither torch nor the service."""
