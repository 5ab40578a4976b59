"""Checks of another project's network against what our networks support."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from model_core.checkpoints.foreign.tensors import Tensors
from model_core.errors import CheckpointError

NOISE_SEED = 0


def expect(name: str, got: object, *known: object) -> None:
    """Refuse a setting that changes images in a way our networks do not support.

    Raises:
        CheckpointError: If it has none of the known values; the message names both.
    """
    if got not in known:
        rule = " or ".join(map(str, known))
        raise CheckpointError(f"{name} must be {rule}, got {str(got)[:60]}: it is not supported")


def drawn_noise(sizes: Iterable[int]) -> list[Tensor]:
    """Draw noise maps for a file without any: (1, 1, size, size), the same on every machine."""
    random = np.random.default_rng(NOISE_SEED)
    return [torch.from_numpy(random.standard_normal((1, 1, n, n))).float() for n in sizes]


def check_mapping(source: Tensors, pattern: str, layers: int, w_dim: int) -> None:
    """Raise CheckpointError unless there are mapping layers, all as wide as a row of W+.

    Args:
        source: The tensors.
        pattern: Our name of a layer's weight, with `{}` for its number.
        layers: Number of layers.
        w_dim: Width of the styles' input.
    """
    source.require([pattern.format(i) for i in range(max(layers, 1))])
    for i in range(layers):
        name = source.spelling(pattern.format(i))
        shape = source.shape(pattern.format(i))
        if i == 0 and len(shape) == 2 and shape[1] != w_dim:
            raise CheckpointError(
                f"{name} must take z_dim = w_dim = {w_dim} inputs, got {shape[1]}: a "
                "generator with another z_dim, or with class labels, is not supported"
            )
        if i == layers - 1 and len(shape) == 2 and shape[0] != w_dim and shape[0] % w_dim == 0:
            raise CheckpointError(
                f"{name} must output one row of {w_dim}, got {shape[0]}: a network that maps to "
                "all rows at once is not supported"
            )
        if shape != (w_dim, w_dim):
            raise CheckpointError(f"{name} must be {w_dim} x {w_dim}, got {shape}")


def check_image(name: str, channels: int) -> None:
    """Raise CheckpointError unless an image layer outputs RGB."""
    if channels != 3:
        kind = {1: " (grey)", 4: " (RGBA)"}.get(channels, "")
        raise CheckpointError(f"{name} must have 3 output channels (RGB), got {channels}{kind}")


def check_constant(name: str, shape: tuple[int, ...]) -> None:
    """Raise CheckpointError unless a constant, (1, channels, height, width), is 4 x 4."""
    if len(shape) != 4 or shape[0] != 1 or shape[2:] != (4, 4):
        raise CheckpointError(f"{name} must be one constant of 4 x 4, got {shape}")


def check_filter(name: str, taps: Tensor, usual: tuple[int, ...]) -> None:
    """Refuse a low-pass filter other than our generator's.

    Args:
        name: The file's name of it.
        taps: One or two axes, or (channels, 1, size, size).
        usual: Our generator's taps, unscaled.

    Raises:
        CheckpointError: If the filter differs.
    """
    row = torch.tensor(usual, dtype=torch.float32)
    row = row / row.sum()
    squares = (
        torch.outer(taps, taps)[None] if taps.ndim == 1 else taps.reshape(-1, *taps.shape[-2:])
    )
    for square in squares:
        total = square.sum()
        if square.shape != (len(usual),) * 2 or not torch.allclose(
            square / total, torch.outer(row, row), atol=1e-4
        ):
            listed = ", ".join(map(str, usual))
            raise CheckpointError(f"{name} must be the filter of {listed}, got another")


def spread_remark(source: Tensors, first: str, mapping_lr: float) -> list[str]:
    """Return a warning if mapping weights do not fit the assumed learning rate multiplier.

    They start as normal samples divided by it, and training changes them little.

    Args:
        source: The tensors.
        first: Our name of the first mapping layer's weight.
        mapping_lr: The assumed multiplier.
    """
    spread = float(source.left[source.spelling(first)].float().std())
    if spread and not 1 / 4 < spread * mapping_lr < 4:
        return [
            f"mapping weights have a standard deviation of {spread:.3g}, but the assumed learning "
            f"rate multiplier of {mapping_lr:g} gives {1 / mapping_lr:g}: if the generator was "
            f"trained with another one (lr_mlp), about {1 / spread:.2g}, its codes will be wrong"
        ]
    return []
