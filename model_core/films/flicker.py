"""How much a face changes from frame to frame, in its own frame of reference."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from model_core.alignment.ffhq import crop_quad
from model_core.compositing.pasting import FACE
from model_core.shapes import Face, Pixels

_INSIDE = FACE > 0.5


@dataclass(frozen=True, slots=True)
class Flicker:
    """Sums over pairs of consecutive frames.

    Attributes:
        result: Mean difference of the edited faces, in bytes, added up.
        source: That of the source's own.
    """

    result: float = 0.0
    source: float = 0.0

    def __add__(self, other: "Flicker") -> "Flicker":
        return Flicker(self.result + other.result, self.source + other.source)

    @property
    def ratio(self) -> float | None:
        """How much more the edited face changes than the source's; None if nothing changes."""
        return self.result / self.source if self.source > 0 else None


class FlickerMeter:
    """Compares each frame with the one before, both warped into the crop's frame."""

    def __init__(self) -> None:
        self.total = Flicker()
        self._last: tuple[int, Face, Face] | None = None

    def add(
        self, index: int, quad: Float64[np.ndarray, "4 2"], source: Face, edited: Pixels
    ) -> None:
        """Add a frame at full strength; pairs are formed with the frame before only.

        Args:
            index: The frame's number.
            quad: The crop's corners.
            source: The crop before the edit.
            edited: The whole frame after it.
        """
        result = crop_quad(edited, quad)
        if self._last is not None and self._last[0] == index - 1:
            _, last_source, last_result = self._last
            self.total += Flicker(_change(last_result, result), _change(last_source, source))
        self._last = index, source, result

    def forget(self) -> None:
        """Form no pair with the next frame."""
        self._last = None


def _change(a: Face, b: Face) -> float:
    difference = np.abs(a.astype(np.int16) - b)[_INSIDE]
    return float(difference.mean())
