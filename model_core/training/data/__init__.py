"""What a training step reads: photographs and generated pairs."""
