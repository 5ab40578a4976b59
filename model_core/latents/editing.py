"""Edits of W+ codes: pure functions on rows.

Source: Guan et al. 2020, section 5 (morphing, colorization); Karras et al. 2019 (style mixing);
Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face Editing" (directions).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from model_core.errors import InvalidInputError
from model_core.shapes import Codes

COLOUR_ROW = 8
"""First row that carries colour, of 18: the last ten, from the second 64 px layer on."""


def morph(
    ws_a: Codes, ws_b: Codes, lam: float, first_row: int = 0, last_row: int | None = None
) -> Codes:
    """Blend codes: lam * ws_a + (1 - lam) * ws_b.

    Args:
        ws_a: Codes that lam = 1 gives.
        ws_b: Codes that lam = 0 gives; the rows outside the range are theirs for any lam.
        lam: 0 to 1.
        first_row: First row to blend, counted from 0.
        last_row: Last row to blend; None for the finest.
    Raises:
        InvalidInputError: If a value is out of range or the shapes differ.
    """
    _check_shapes(ws_a, ws_b)
    if not 0 <= lam <= 1:
        raise InvalidInputError(f"lam must be from 0 to 1, got {lam}")
    finest = ws_a.shape[1] - 1
    last_row = finest if last_row is None else last_row
    _check_row("first_row", first_row, 0, finest)
    _check_row("last_row", last_row, first_row, finest)
    rows = slice(first_row, last_row + 1)
    blended = ws_b.clone()
    blended[:, rows] = torch.lerp(ws_b[:, rows], ws_a[:, rows], lam)
    return blended


def interpolate(
    ws_a: Codes, ws_b: Codes, steps: int, first_row: int = 0, last_row: int | None = None
) -> Float[Tensor, "steps batch num_ws w_dim"]:
    """Interpolate from the first codes to the second in equal steps, including both ends.

    With a row range, only those rows change; the others are the second codes' in every frame.

    Raises:
        InvalidInputError: If steps is below 2, or as for `morph`.
    """
    if steps < 2:
        raise InvalidInputError(f"steps must be 2 or more, got {steps}")
    lams = [1 - i / (steps - 1) for i in range(steps)]
    return torch.stack([morph(ws_a, ws_b, lam, first_row, last_row) for lam in lams])


def colorize(
    ws_gray: Codes, ws_color: Codes, first_row: int = COLOUR_ROW, strength: float = 1.0
) -> Codes:
    """Replace the fine rows of one code with those of another.

    Args:
        ws_gray: Codes whose coarse rows stay: shape and identity.
        ws_color: Codes whose fine rows are used: colours and texture.
        first_row: First row to replace, counted from 0.
        strength: 0 leaves the rows, 1 replaces them, values in between blend.
    Raises:
        InvalidInputError: If a value is out of range or the shapes differ.
    """
    _check_shapes(ws_gray, ws_color)
    _check_row("first_row", first_row, 0, ws_gray.shape[1] - 1)
    if not 0 <= strength <= 1:
        raise InvalidInputError(f"strength must be from 0 to 1, got {strength}")
    fine = torch.lerp(ws_gray[:, first_row:], ws_color[:, first_row:], strength)
    return torch.cat([ws_gray[:, :first_row], fine], dim=1)


def move(ws: Codes, step: Float[Tensor, "num_ws w_dim"], strength: float) -> Codes:
    """Move codes along a direction: ws + strength * step.

    Args:
        ws: Codes to move.
        step: What strength 1 adds, scaled as in `directions.library`.
        strength: Any finite number; negative moves the other way.
    Raises:
        InvalidInputError: If the shapes differ or the strength is not finite.
    """
    if step.shape != ws.shape[1:]:
        raise InvalidInputError(
            f"step must have the shape of a code {tuple(ws.shape[1:])}, got {tuple(step.shape)}"
        )
    if not math.isfinite(strength):
        raise InvalidInputError(f"strength must be finite, got {strength}")
    return ws + strength * step


def _check_shapes(ws_a: Codes, ws_b: Codes) -> None:
    if ws_a.shape != ws_b.shape:
        raise InvalidInputError(
            f"codes must have the same shape, got {tuple(ws_a.shape)} and {tuple(ws_b.shape)}"
        )


def _check_row(name: str, row: int, low: int, high: int) -> None:
    if not low <= row <= high:
        raise InvalidInputError(f"{name} must be from {low} to {high}, got {row}")
