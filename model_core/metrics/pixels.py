"""Measures of how close two images, or two faces, are: one number per pair.

Images are in [-1, 1]. Perceptual distances are networks: see `perceptual`.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from model_core.errors import InvalidInputError

PEAK_TO_PEAK = 2.0
"""Distance of black and white in [-1, 1]."""

_SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5


def mse(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, "n"]:
    """Compute the mean squared error over channels and pixels: 0 is equal, at most 4.

    Args:
        a: Images in [-1, 1].
        b: Images in [-1, 1], of the same shape.

    Raises:
        InvalidInputError: If the shapes differ.
    """
    _check_shapes(a, b)
    return (a.float() - b.float()).square().mean((1, 2, 3))


def psnr(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, "n"]:
    """Compute the peak signal-to-noise ratio in dB, 10 log10(4 / mse); infinite for equal images.

    The peak is 2, from black to white, like 255 for bytes.

    Args:
        a: Images in [-1, 1].
        b: Images in [-1, 1], of the same shape.

    Raises:
        InvalidInputError: If the shapes differ.
    """
    return 10 * (PEAK_TO_PEAK**2 / mse(a, b)).log10()


def ssim(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Float[Tensor, "n"]:
    """Compute the structural similarity: 1 is equal, about 0 is unrelated, at least -1.

    A Gaussian window of 11 px (sigma 1.5), K1 = .01, K2 = .03, averaged over the channels and the
    positions where the window lies inside the image. Images are shifted to [0, 2], because the
    measure is defined for brightness, which has no sign.

    Args:
        a: Images in [-1, 1], sides of at least 11 px.
        b: Images in [-1, 1], of the same shape.

    Raises:
        InvalidInputError: If the shapes differ or the images are smaller than the window.

    Source: Wang et al. 2004, Image Quality Assessment, equation 13. The same number as scikit-image
    with Gaussian weights; torchmetrics averages over reflected borders too and differs by a few
    percent.
    """
    _check_shapes(a, b)
    if min(a.shape[2:]) < _SSIM_WINDOW:
        raise InvalidInputError(
            f"sides of a must be at least {_SSIM_WINDOW} px, got {(*a.shape[2:],)}"
        )
    x, y = a.float() + 1, b.float() + 1
    means = _window_mean(torch.stack([x, y, x * x + y * y, x * y]))
    mean_x, mean_y, mean_squares, mean_xy = means.unbind()
    c1, c2 = (0.01 * PEAK_TO_PEAK) ** 2, (0.03 * PEAK_TO_PEAK) ** 2
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    luminance = (2 * product + c1) / (squares + c1)
    structure = (2 * (mean_xy - product) + c2) / (mean_squares - squares + c2)
    return (luminance * structure).mean((1, 2, 3))


def _window_mean(x: Tensor) -> Tensor:
    """Average images under the Gaussian window, at every position inside them.

    A sum of shifted images: a convolution may run in TF32 or bfloat16 where these are allowed,
    and would lose the variances, which are small differences.
    """
    reach = _SSIM_WINDOW // 2
    taps = [math.exp(-((i - reach) ** 2) / (2 * _SSIM_SIGMA**2)) for i in range(_SSIM_WINDOW)]
    for dim in (-2, -1):
        length = x.shape[dim] - 2 * reach
        total = taps[0] * x.narrow(dim, 0, length)
        for i, tap in enumerate(taps[1:], start=1):
            total = total.add(x.narrow(dim, i, length), alpha=tap)
        x = total / sum(taps)
    return x


def identity_similarity(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
    """Compute the cosine of the angle between face descriptors of one recogniser: 1 is equal.

    How close strangers are depends on the recogniser: about .37 by FaceRes, .83 by dlib's network,
    whose descriptors all share a direction.

    Args:
        a: Descriptors.
        b: Descriptors of the faces to compare with.

    Raises:
        InvalidInputError: If the shapes differ.
    """
    _check_shapes(a, b)
    return F.cosine_similarity(a.float(), b.float(), dim=1)


def _check_shapes(a: Tensor, b: Tensor) -> None:
    """Refuse shapes that would broadcast to nonsense."""
    if a.shape != b.shape:
        raise InvalidInputError(f"b must be shaped like a, {(*a.shape,)}, got {(*b.shape,)}")
