"""What endpoints share and needs the runtime: bodies, faces, answers."""
