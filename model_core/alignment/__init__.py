"""Faces cropped from photos the way FFHQ crops them."""
