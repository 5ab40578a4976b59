"""The HTTP service: photos in, W+ codes and images out."""
