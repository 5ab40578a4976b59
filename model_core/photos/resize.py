"""Resize square images as Pillow does, by two cores where it pays."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from model_core.pixels import SquarePixels


def resize_square(image: Image.Image, side_px: int) -> SquarePixels:
    """Resize a square RGB image by Lanczos's filter.

    Pillow computes on one core and lets other threads run meanwhile. If the image shrinks to half
    its size or less, another thread takes the lower rows. Every byte is as from one call: the
    filter reads beyond the box that it is given. (For images that shrink less, Pillow would filter
    the halves' rows before their columns, and round otherwise.)
    """

    def rows(count: int, top: float, bottom: float) -> np.ndarray:
        box = (0.0, top, float(image.width), bottom)
        return np.array(image.resize((side_px, count), Image.Resampling.LANCZOS, box))

    whole, half = float(image.height), image.height / 2
    if whole < 2 * side_px or side_px % 2:
        return rows(side_px, 0.0, whole)
    with ThreadPoolExecutor(1, "resize") as other:
        lower = other.submit(rows, side_px // 2, half, whole)
        upper = rows(side_px // 2, 0.0, half)
        return np.concatenate([upper, lower.result()])
