"""Put a face back into the photo that it was cropped from."""
