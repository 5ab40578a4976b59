"""Exchange the brightness of an image and keep its colours."""

import numpy as np
from PIL import Image

from model_core.pixels import Pixels


def with_luminance(image: Pixels, luminance: Pixels) -> Pixels:
    """Give an image the luminance (Y of YCbCr) of another of the same size, keeping its colours."""
    grey = Image.fromarray(luminance).convert("YCbCr").getchannel("Y")
    _, blue, red = Image.fromarray(image).convert("YCbCr").split()
    return np.asarray(Image.merge("YCbCr", (grey, blue, red)).convert("RGB"))
