"""Training data: photographs and generated pairs."""
