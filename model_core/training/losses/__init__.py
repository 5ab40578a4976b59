"""What a training step minimises: errors of codes and of images."""
