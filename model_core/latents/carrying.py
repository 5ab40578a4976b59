"""Carry a detail from one code to another, so that it moves with the edit.

Editing a code turns the head or opens the mouth; a detail that stayed in place would leave
a ghost there. Each position in the new features takes the detail of similar, nearby positions in
the old ones. This needs no training, because features of the same part of a face are similar
before and after it has moved.
"""

import functools

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

REACH = 8
"""How many positions, of 64, a detail can move: turning the head by 1.5 units takes 5."""

BLOCK = 8
"""Side of the square blocks of positions that are matched against one window."""

STRIDE = 4
"""Only every fourth of 512 channels is compared: the same matches in half the time."""

SMOOTH = 3
"""Side of the average pooling that adds each feature's surroundings."""

TEMPERATURE = 0.01
"""Temperature of the softmax over cosines; lower is sharper but breaks up smooth surfaces."""

STAY = 0.0005
"""Penalty on the cosine per squared position of distance, which keeps flat regions in place."""

_WINDOW = BLOCK + 2 * REACH


def carry(
    details: Float[Tensor, "batch bottleneck px px"],
    old: Float[Tensor, "batch channels px px"],
    new: Float[Tensor, "batch channels px px"],
) -> Float[Tensor, "batch bottleneck px px"]:
    """Move details from the features of codes to those of edited codes.

    Args:
        details: Encoded with the old features.
        old: The features; px is a multiple of BLOCK.
        new: The features of the edited codes.
    """
    old, new = old[:, ::STRIDE], new[:, ::STRIDE]
    queries = _blocks(_comparable(new, old))  # (batch, blocks, BLOCK ** 2, channels)
    keys = _windows(_comparable(old, old))  # (batch, blocks, WINDOW ** 2, channels)
    values = _windows(details)
    cosines = queries @ keys.transpose(-1, -2)  # (batch, blocks, BLOCK ** 2, WINDOW ** 2)
    penalty, is_far = _distances(details.device)
    scores = (cosines - penalty).masked_fill(is_far, -torch.inf)
    weights = (scores / TEMPERATURE).softmax(-1)
    moved: Tensor = weights @ values  # (batch, blocks, BLOCK ** 2, bottleneck)
    batch, bottleneck, px, _ = details.shape
    moved = moved.unflatten(2, (BLOCK, BLOCK)).unflatten(1, (px // BLOCK, px // BLOCK))
    # (batch, row of blocks, column of blocks, row, column, bottleneck) -> an image again
    return moved.permute(0, 5, 1, 3, 2, 4).reshape(batch, bottleneck, px, px)


def _comparable(
    features: Float[Tensor, "batch channels px px"], old: Float[Tensor, "batch channels px px"]
) -> Float[Tensor, "batch channels px px"]:
    """Standardise each channel by the old features', so that none dominates; scale to length 1."""
    mean, std = old.mean((2, 3), keepdim=True), old.std((2, 3), keepdim=True)
    standard = (features - mean) / (std + 1e-3)
    around = F.avg_pool2d(standard, SMOOTH, 1, SMOOTH // 2, count_include_pad=False)
    return F.normalize(around, dim=1)


def _blocks(
    x: Float[Tensor, "batch channels px px"],
) -> Float[Tensor, "batch blocks places channels"]:
    """Cut an image into blocks, row by row."""
    cut = x.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK)
    return cut.permute(0, 2, 3, 4, 5, 1).flatten(3, 4).flatten(1, 2)


def _windows(
    x: Float[Tensor, "batch channels px px"],
) -> Float[Tensor, "batch blocks places channels"]:
    """Cut out each block with everything within its reach."""
    padded = F.pad(x, [REACH] * 4, mode="replicate")
    cut = padded.unfold(2, _WINDOW, BLOCK).unfold(3, _WINDOW, BLOCK)
    return cut.permute(0, 2, 3, 4, 5, 1).flatten(3, 4).flatten(1, 2)


@functools.lru_cache(maxsize=2)
def _distances(
    device: torch.device,
) -> tuple[Float[Tensor, "places window"], Bool[Tensor, "places window"]]:
    """Compute each match's penalty for its distance, and whether it is out of reach."""
    query = torch.arange(BLOCK, device=device) + REACH
    offset = torch.arange(_WINDOW, device=device)[None] - query[:, None]  # (BLOCK, WINDOW)
    # (row, row of the window) and (column, column of the window) -> (row, column, row, column)
    squared = offset[:, None, :, None] ** 2 + offset[None, :, None, :] ** 2
    far = offset.abs() > REACH
    is_far = far[:, None, :, None] | far[None, :, None, :]
    return (STAY * squared).flatten(2, 3).flatten(0, 1), is_far.flatten(2, 3).flatten(0, 1)
