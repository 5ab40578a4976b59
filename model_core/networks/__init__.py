"""Ready networks: loaded by name from the weights cache or from a file."""
