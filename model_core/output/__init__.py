"""Results as files: images and animations, each with its provenance mark."""
