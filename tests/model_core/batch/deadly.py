"""A preparation that ends its process; worker processes import this module, so it is small."""

import os

from model_core.batch.preparation import prepare


def deadly(photo, name, look):
    """Prepare a photo, unless it is c.jpg."""
    if name == "c.jpg":
        os._exit(1)
    return prepare(photo, name, look)
