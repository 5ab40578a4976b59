"""A film's colours: which matrix and range its bytes use, and the way to RGB and back."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from model_core.errors import UnsupportedFilmError
from model_core.films.extra import load_av
from model_core.shapes import Pixels

Matrix = Literal["bt709", "bt601", "bt2020"]

HD_ROWS = 720
"""Frames this high use BT.709 unless they say otherwise, lower ones BT.601."""

_MATRICES: dict[int, Matrix] = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020"}
_UNSPECIFIED = (0, 2, 3)  # RGB, unspecified, reserved
_TAGS = {"bt709": (1, 1, 1), "bt601": (6, 6, 6), "bt2020": (9, 9, 14)}
"""H.273's numbers of matrix, primaries and transfer; the SD and HD transfers are the same curve."""
_SCALER = {"bt709": 1, "bt601": 5, "bt2020": 9}
_HDR = {16: "PQ", 18: "HLG"}
_LIMITED, _FULL = 1, 2


@dataclass(frozen=True, slots=True)
class Colour:
    """How a film's bytes encode colours.

    Attributes:
        matrix: From RGB to brightness and colour differences.
        full_range: Whether brightness takes 0 to 255, not 16 to 235.
        primaries: H.273's number, as in the film; None if it does not say.
        transfer: Likewise.
    """

    matrix: Matrix
    full_range: bool
    primaries: int | None = None
    transfer: int | None = None

    def to_rgb(self, frame: Any, size: tuple[int, int]) -> Pixels:
        """Convert a decoded frame to RGB of a width and height."""
        rgb = frame.reformat(
            *size,
            format="rgb24",
            src_colorspace=_SCALER[self.matrix],
            dst_colorspace=_SCALER[self.matrix],
            src_color_range=self._range,
            dst_color_range=_FULL,
            interpolation=_quality(),
            threads=1,
        )
        return np.asarray(rgb.to_ndarray(), np.uint8)

    def to_yuv(self, pixels: Pixels) -> Any:
        """Convert RGB of even sides to a frame in 4:2:0."""
        frame = load_av().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        return self.as_yuv(frame, _FULL)

    def as_yuv(self, frame: Any, given_range: int | None = None) -> Any:
        """Convert a decoded frame to 4:2:0, 8 bits."""
        return frame.reformat(
            format="yuv420p",
            src_colorspace=_SCALER[self.matrix],
            dst_colorspace=_SCALER[self.matrix],
            src_color_range=given_range or self._range,
            dst_color_range=self._range,
            interpolation=_quality(),
            threads=1,
        )

    def label(self, context: Any) -> None:
        """Write the colours into an encoder's header."""
        matrix, primaries, transfer = _TAGS[self.matrix]
        context.colorspace = matrix
        context.color_primaries = self.primaries or primaries
        context.color_trc = self.transfer or transfer
        context.color_range = self._range

    @property
    def _range(self) -> int:
        return _FULL if self.full_range else _LIMITED


def read_colour(frame: Any) -> Colour:
    """Read the colours of a decoded frame.

    Raises:
        UnsupportedFilmError: If they are of high dynamic range, or a rare kind.
    """
    if frame.color_trc in _HDR:
        raise UnsupportedFilmError(
            f"the film has high dynamic range ({_HDR[frame.color_trc]}), which cannot be edited: "
            "convert it to BT.709 first"
        )
    code = int(frame.colorspace)
    if code in _UNSPECIFIED:
        matrix: Matrix = "bt709" if min(frame.height, frame.width) >= HD_ROWS else "bt601"
    elif code in _MATRICES:
        matrix = _MATRICES[code]
    else:
        raise UnsupportedFilmError(
            f"the film's colours must be BT.601, BT.709 or BT.2020, got number {code} of H.273"
        )
    is_full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    known = [None if value in _UNSPECIFIED else int(value) for value in
             (frame.color_primaries, frame.color_trc)]  # fmt: skip
    return Colour(matrix, is_full, *known)


def _quality() -> int:
    """Return the scaler's flags: bicubic, colour differences at full width, rounded right."""
    flags = load_av().video.reformatter.Interpolation
    return int(flags.BICUBIC | flags.FULL_CHR_H_INT | flags.FULL_CHR_H_INP | flags.ACCURATE_RND)
