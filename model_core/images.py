"""Images as bytes and as numbers in [-1, 1]."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from model_core.pixels import FACE_PX as FACE_PX


def to_float(img: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Map bytes to [-1, 1]."""
    return img.float() / 127.5 - 1


def to_uint8(img: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Map numbers, clamped to [-1, 1], to bytes, rounded to the nearest."""
    return ((img.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_pixels(img: UInt8[Tensor, "3 height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """Convert one image from torch's axis order to Pillow's."""
    return np.ascontiguousarray(img.permute(1, 2, 0).cpu().numpy())
