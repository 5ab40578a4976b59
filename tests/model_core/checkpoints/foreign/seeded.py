"""Weights that anyone can make again: too large to keep, so only what they give is kept."""

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def seeded_state(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Fill a state dict by its names: convolutions keep the scale of what they read."""
    state = {}
    for name, shape in shapes.items():
        random = np.random.default_rng(zlib.crc32(name.encode()))
        values = random.standard_normal(shape, dtype=np.float32)
        if name.endswith("running_var"):
            values = 0.5 + np.abs(values)
        elif len(shape) > 1:
            values *= (1.5 / np.prod(shape[1:])) ** 0.5
        elif name.endswith("weight"):  # of normalisations and activations
            values = 0.6 + 0.1 * values
        else:
            values *= 0.1
        state[name] = torch.from_numpy(np.asarray(values, np.float32))
    return state


def seeded_face(size_px: int = 256) -> Tensor:
    """Return something smooth in [-1, 1] with the shape of one face, (1, 3, size, size)."""
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    waves = [np.sin(7 * x + 3 * y + c) * np.cos(11 * y - 2 * c * x) for c in range(3)]
    return torch.from_numpy(np.stack(waves)[None].astype(np.float32))
