"""Access to the device: admission, limits, batches, the engine's thread."""
