"""Images as bytes and as numbers in [-1, 1], and the size of the faces that networks read."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

FACE_PX = 256
"""Side of the aligned faces that the embedding network reads and that metrics compare."""


def to_float(img: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Bring bytes to [-1, 1]."""
    return img.float() / 127.5 - 1


def to_uint8(img: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Bring numbers in [-1, 1], clamped, to bytes, rounded to the nearest."""
    return ((img.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
