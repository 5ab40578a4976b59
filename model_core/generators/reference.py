"""The plain form of every fast operation of the generators: slow, but as it is defined."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_core.generators.modulation import DEMODULATION_EPS, UP_TAPS
from model_core.generators.ops import binomial_kernel


def insert_zeros(
    x: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch channels height2 width2"]:
    """Insert a zero after every pixel, in both dimensions."""
    batch, channels, height, width = x.shape
    out = x.new_zeros(batch, channels, 2 * height, 2 * width)
    out[..., ::2, ::2] = x
    return out


def low_pass(
    x: Float[Tensor, "batch channels height width"], before: int, after: int, gain: float
) -> Float[Tensor, "batch channels height2 width2"]:
    """Pad with zeros and filter each channel separately."""
    kernel = gain * binomial_kernel(UP_TAPS, x)
    padded = F.pad(x, (before, after, before, after))
    return torch.cat([F.conv2d(channel, kernel) for channel in padded.split(1, dim=1)], dim=1)


def upsample(
    img: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch channels height2 width2"]:
    """Double an image as NVIDIA's upfirdn does: zeros between the pixels, then a filter."""
    return low_pass(insert_zeros(img), before=2, after=1, gain=4.0)


def modulated_conv(
    x: Float[Tensor, "batch inputs height width"],
    weight: Float[Tensor, "outputs inputs 3 3"],
    style: Float[Tensor, "batch inputs"],
    up: bool,
) -> Float[Tensor, "batch outputs height2 width2"]:
    """Convolve every item with its own weights: scaled by the style, normalised."""
    items = []
    for item, scale in zip(x, style, strict=True):
        w = weight * scale[None, :, None, None]
        w = w * (w.square().sum(dim=(1, 2, 3), keepdim=True) + DEMODULATION_EPS).rsqrt()
        if up:
            spread = insert_zeros(item[None])[..., :-1, :-1]
            wide = F.conv2d(spread, w.flip(2, 3), padding=2)
            items.append(low_pass(wide, before=1, after=1, gain=4.0))
        else:
            items.append(F.conv2d(item[None], w, padding=1))
    return torch.cat(items)


def upscale_conv(
    x: Float[Tensor, "batch inputs height width"], weight: Float[Tensor, "outputs inputs 3 3"]
) -> Float[Tensor, "batch outputs height2 width2"]:
    """Repeat every pixel twice in both dimensions, then convolve: StyleGAN's upsampling."""
    doubled = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return F.conv2d(doubled, weight, padding=1)
