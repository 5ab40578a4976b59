"""What endpoints share that needs the runtime: bodies, faces, answers."""
