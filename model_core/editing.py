"""Edits of W+ codes: pure functions on rows.

Source: Guan et al. 2020, section 4.3 (morphing and colorization); Karras et al. 2019 (style mixing).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from model_core.errors import InvalidInputError

Codes = Float[Tensor, "batch num_ws w_dim"]

COLOUR_ROW = 8
"""First of the rows that carry colour at 18 rows: the last ten, from the second 64 px layer on."""


def morph(ws_a: Codes, ws_b: Codes, lam: float) -> Codes:
    """Blend codes: lam * ws_a + (1 - lam) * ws_b.

    Args:
        ws_a: Codes that lam = 1 gives.
        ws_b: Codes that lam = 0 gives.
        lam: 0 to 1.
    Raises:
        InvalidInputError: If lam is out of range or the shapes differ.
    """
    _check_shapes(ws_a, ws_b)
    if not 0 <= lam <= 1:
        raise InvalidInputError(f"lam must be from 0 to 1, got {lam}")
    return torch.lerp(ws_b, ws_a, lam)


def interpolate(ws_a: Codes, ws_b: Codes, steps: int) -> Float[Tensor, "steps batch num_ws w_dim"]:
    """Go from the first codes to the second in equal steps, both ends included.

    Raises:
        InvalidInputError: If steps is below 2 or the shapes differ.
    """
    if steps < 2:
        raise InvalidInputError(f"steps must be 2 or more, got {steps}")
    return torch.stack([morph(ws_a, ws_b, 1 - i / (steps - 1)) for i in range(steps)])


def colorize(
    ws_gray: Codes, ws_color: Codes, first_row: int = COLOUR_ROW, strength: float = 1.0
) -> Codes:
    """Replace the fine rows of one code by those of another.

    Args:
        ws_gray: Codes whose coarse rows stay: shape and identity.
        ws_color: Codes whose fine rows are taken: colours and texture.
        first_row: First row that is replaced, counted from 0.
        strength: 0 leaves the rows, 1 replaces them, in between blends.
    Raises:
        InvalidInputError: If a value is out of range or the shapes differ.
    """
    _check_shapes(ws_gray, ws_color)
    if not 0 <= first_row < ws_gray.shape[1]:
        raise InvalidInputError(
            f"first_row must be from 0 to {ws_gray.shape[1] - 1}, got {first_row}"
        )
    if not 0 <= strength <= 1:
        raise InvalidInputError(f"strength must be from 0 to 1, got {strength}")
    fine = torch.lerp(ws_gray[:, first_row:], ws_color[:, first_row:], strength)
    return torch.cat([ws_gray[:, :first_row], fine], dim=1)


def _check_shapes(ws_a: Codes, ws_b: Codes) -> None:
    if ws_a.shape != ws_b.shape:
        raise InvalidInputError(
            f"codes must have the same shape, got {tuple(ws_a.shape)} and {tuple(ws_b.shape)}"
        )
