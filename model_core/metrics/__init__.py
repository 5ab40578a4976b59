"""How close two images are: by pixels, by identity, by perception."""
