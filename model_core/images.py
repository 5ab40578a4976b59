"""Images as bytes and as numbers in [-1, 1]."""

import functools

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from model_core.pixels import FACE_PX as FACE_PX


def to_float(img: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Map bytes to [-1, 1]."""
    return img.to(torch.float32, copy=True).div_(127.5).sub_(1)  # in one new buffer, not three


def to_uint8(img: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Map numbers, clamped to [-1, 1], to bytes, rounded to the nearest."""
    return ((img.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_pixels(img: UInt8[Tensor, "3 height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """Convert one image from torch's axis order to Pillow's."""
    return np.ascontiguousarray(img.permute(1, 2, 0).cpu().numpy())


def area_average(
    images: Float[Tensor, "n c px px"], side_px: int
) -> Float[Tensor, "n c {side_px} {side_px}"]:
    """Average square images over areas, as `adaptive_avg_pool2d` does.

    If their side is a multiple of the new one this takes half as long on a CPU, for the layout
    (height, width, channels) that images from bytes have. Images of that side are returned as
    they are, not copied.
    """
    if images.shape[-1] == side_px:
        return images
    step, rest = divmod(images.shape[-1], side_px)
    if rest or not step:
        return F.adaptive_avg_pool2d(images, side_px)
    rows = functools.reduce(torch.add, (images[:, :, i::step] for i in range(step)))
    return functools.reduce(torch.add, (rows[..., i::step] for i in range(step))) / step**2
