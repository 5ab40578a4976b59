"""StyleGAN W+ embedding: generators, encoders, training and editing, free of HTTP and queues."""
