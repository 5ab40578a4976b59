"""Training losses on codes and on images."""
