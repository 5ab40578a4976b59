"""StyleGAN W+ embedding: generators, encoders, training and editing, without HTTP or queues."""
