"""How stored frames are shown: turned upright, mirrored, with square pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import UInt8

from model_core.errors import UnsupportedFilmError
from model_core.shapes import Pixels

FLATTEST = 4
"""Pixels more than this many times as wide as high, or as high as wide, are a mistake."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """From stored to shown frames.

    Attributes:
        stored: Width and height in the file.
        turns: Quarter turns anticlockwise that make a frame upright.
        mirrored: Whether it is then mirrored left to right.
        pixel_aspect: Width of a stored pixel over its height.
    """

    stored: tuple[int, int]
    turns: int = 0
    mirrored: bool = False
    pixel_aspect: Fraction = Fraction(1)

    @property
    def is_plain(self) -> bool:
        """Whether frames are shown as they are stored."""
        return self.turns == 0 and not self.mirrored and self.square == self.stored

    @property
    def square(self) -> tuple[int, int]:
        """Width and height with square pixels, before turning."""
        width, height = self.stored
        # The longer way is stretched, so that nothing is lost.
        if self.pixel_aspect >= 1:
            return round(width * self.pixel_aspect), height
        return width, round(height / self.pixel_aspect)

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of an upright frame."""
        width, height = self.square
        return (height, width) if self.turns % 2 else (width, height)

    def upright(self, pixels: Pixels) -> UInt8[np.ndarray, "shown_height shown_width 3"]:
        """Turn and mirror a frame whose pixels are square."""
        if self.turns == 0 and not self.mirrored:
            return pixels
        turned = np.rot90(pixels, self.turns)
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)


def read_geometry(frame: Any, pixel_aspect: Fraction | None) -> Geometry:
    """Read how a frame is to be shown.

    Args:
        frame: A decoded frame of PyAV.
        pixel_aspect: The stream's; None for square pixels.

    Raises:
        UnsupportedFilmError: If it is turned by other than quarter turns.
    """
    aspect = pixel_aspect or Fraction(1)
    if not Fraction(1, FLATTEST) <= aspect <= FLATTEST:
        aspect = Fraction(1)
    turns, mirrored = 0, False
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            turns, mirrored = _orientation(np.frombuffer(bytes(data), np.int32)[:9].tolist())
    return Geometry((frame.width, frame.height), turns, mirrored, aspect)


def _orientation(matrix: Sequence[int]) -> tuple[int, bool]:
    """Return quarter turns and whether to mirror, from a display matrix in 16.16 fixed point.

    The matrix maps stored (x, y) to shown (a x + c y, b x + d y), with y downwards.
    """
    if len(matrix) != 9:
        return 0, False
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    mirrored = a * d - b * c < 0
    if mirrored:  # undo what comes last: mirroring left to right
        a, c = -a, -c
    degrees = -math.degrees(math.atan2(b, a))  # anticlockwise
    turns = round(degrees / 90)
    if abs(degrees - 90 * turns) > 1:
        raise UnsupportedFilmError(
            f"the film is turned by {degrees:.0f} degrees: only quarter turns can be read"
        )
    return turns % 4, mirrored
