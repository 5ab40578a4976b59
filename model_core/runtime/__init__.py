"""How networks run: backends, background compilation, the allocator."""
