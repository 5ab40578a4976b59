"""Augment training images with the variations that real photographs show."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from model_core.shapes import Images


def augment(img: Images, jitter: float, degrade_share: float, random: torch.Generator) -> Images:
    """Augment inputs in ways that keep their code: light, colour, poor quality.

    Args:
        img: Images in [-1, 1], on any device.
        jitter: Largest relative change of brightness, contrast and each channel's gain.
        degrade_share: Fraction of images scaled to half or a quarter of the resolution and back,
            with noise added.
        random: Source of randomness, on the CPU.
    """
    batch, device = len(img), img.device
    relight = _lighting(batch, jitter, random)
    (poor,) = (torch.rand(batch, generator=random) < degrade_share).nonzero(as_tuple=True)
    factor = 2 if torch.rand((), generator=random) < 0.5 else 4
    if len(poor):
        poor = poor.to(device)
        small = F.avg_pool2d(img[poor], factor)
        grain = 0.03 * torch.randn(small.shape, generator=random)
        large = F.interpolate(small + grain.to(device), img.shape[-1], mode="bilinear")
        img = img.index_put((poor,), large)  # out of place: the caller keeps its tensor
    return relight(img)


def vary(img: Images, light: float, warp: float, random: torch.Generator) -> Images:
    """Turn photographs into different ones, with different codes.

    Args:
        img: Images in [-1, 1], on any device.
        light: Largest relative change of brightness, contrast and saturation; each channel's gain
            changes by up to a third of it.
        warp: Largest rotation (radians), relative scaling, and shift (in half image sides).
        random: Source of randomness, on the CPU; unused if light and warp are 0.
    """
    if not (light or warp):
        return img
    batch, device = len(img), img.device
    relight = _lighting(batch, light, random)
    colour = 1 + light * _spread((batch, 1, 1, 1), random)
    turn, size, x, y = (warp * _spread((4, batch), random)).unbind()
    cos, sin = (1 + size) * turn.cos(), (1 + size) * turn.sin()
    # (batch, 6) -> (batch, 2, 3): maps output to input positions, in half sides from the centre.
    matrix = torch.stack([cos, -sin, x, sin, cos, y], dim=1).reshape(batch, 2, 3)
    if light:
        grey = img.mean(dim=1, keepdim=True)
        img = grey + colour.to(device) * (img - grey)
        img = relight(img)
    if warp:
        grid = F.affine_grid(matrix.to(device), list(img.shape), align_corners=False)
        img = F.grid_sample(img, grid, padding_mode="reflection", align_corners=False)
    return img


def _lighting(batch: int, amount: float, random: torch.Generator) -> Callable[[Images], Images]:
    """Draw a change of contrast, of each channel's gain (a third as large) and of brightness.

    Everything is drawn up front, so that later draws do not depend on when it is applied.
    """
    gain = 1 + amount * _spread((batch, 1, 1, 1), random)
    tint = 1 + amount / 3 * _spread((batch, 3, 1, 1), random)
    shift = amount * _spread((batch, 1, 1, 1), random)

    def relight(img: Images) -> Images:
        return (img * (gain * tint).to(img.device) + shift.to(img.device)).clamp(-1, 1)

    return relight


def _spread(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Draw uniformly from -1 to 1."""
    return 2 * torch.rand(shape, generator=random) - 1
