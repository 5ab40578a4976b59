"""Operations that generator families share."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

LEAKY_SLOPE = 0.2


def leaky_relu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Scale negative values by LEAKY_SLOPE.

    Compiled code uses absolute values, which changes the last bits and the gradient at 0: for
    F.leaky_relu, TorchInductor stores a boolean mask if the gradient needs nothing else of the
    activations, and storing it is slow on CPUs.
    """
    # Unlike is_compiling, which is true for all threads while one compiles.
    if not torch.compiler.is_dynamo_compiling():
        return F.leaky_relu(x, LEAKY_SLOPE)
    return (1 + LEAKY_SLOPE) / 2 * x + (1 - LEAKY_SLOPE) / 2 * x.abs()


def normalize_second_moment(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    """Scale every row to a mean square of one (StyleGAN's pixel norm on z)."""
    # 1e-8 as in all of NVIDIA's releases: a row of zeros stays one.
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def inverse_haar(
    x: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch bands height2 width2"]:
    """Turn C low-pass channels and C triples (LH, HL, HH) into C channels of twice the size.

    Source: the inverse 2-D Haar transform, in the channel order of MobileStyleGAN.
    """
    batch, channels, height, width = x.shape
    bands = channels // 4
    ll = x[:, :bands]
    # The three details of a band are neighbours: (batch, bands, 3, height, width).
    lh, hl, hh = x[:, bands:].reshape(batch, bands, 3, height, width).unbind(dim=2)
    top, bottom = ll + lh, ll - lh
    total, difference = hl + hh, hl - hh
    # (batch, bands, 4, height, width), the four in pixel_shuffle's order: row by row.
    quads = torch.stack([top + total, top - total, bottom + difference, bottom - difference], dim=2)
    # The transform's filters have norm one: a pixel is half the signed sum of its four bands.
    return F.pixel_shuffle(quads.reshape(batch, channels, height, width), 2) * 0.5


def binomial_kernel(taps: tuple[int, ...], like: Tensor) -> Float[Tensor, "1 1 size size"]:
    """Return the square low-pass filter whose rows and columns are the taps, with sum one."""
    row = like.new_tensor(taps)
    return (torch.outer(row, row) / row.sum() ** 2)[None, None]


def filter_channels(
    x: Float[Tensor, "batch channels height width"],
    kernel: Float[Tensor, "1 1 size size"],
    padding: int,
) -> Float[Tensor, "batch channels height2 width2"]:
    """Convolve every channel with one small symmetric filter."""
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, -1, -1, -1), padding=padding, groups=channels)
