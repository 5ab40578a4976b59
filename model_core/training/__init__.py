"""Training of the embedding network; nothing that serves imports it."""
