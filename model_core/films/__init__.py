"""Films: one face edited in every frame, resumable, in bounded memory."""
