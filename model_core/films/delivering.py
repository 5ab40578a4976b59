"""What is encoded of a frame: its own bytes wherever nothing has been edited."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from model_core.compositing.placement import Box
from model_core.films.extra import load_av
from model_core.films.reading import FilmFrame
from model_core.shapes import Pixels

Plane = UInt8[np.ndarray, "_ _"]

MARGIN_PX = 2
"""Around an edited box: colour differences are sampled at half the rate."""


def even_size(frame: FilmFrame) -> tuple[int, int]:
    """Return width and height of what is encoded: 4:2:0 needs even sides."""
    width, height = frame.geometry.shown
    return width + width % 2, height + height % 2


def deliver(frame: FilmFrame, edited: Pixels | None, box: Box | None) -> Any:
    """Return a frame in 4:2:0.

    Args:
        frame: As decoded.
        edited: The same upright, in RGB, after the edit; None if it is not edited.
        box: Pixels that the edit may have changed; None if there are none.
    """
    keeps_bytes = frame.geometry.is_plain and frame.geometry.shown == even_size(frame)
    if keeps_bytes and (edited is None or box is None):
        # A copy of the bytes alone: nothing else of the source should reach the encoder.
        own = frame.colour.as_yuv(frame.image).to_ndarray()
        return load_av().VideoFrame.from_ndarray(own, format="yuv420p")
    pixels = frame.pixels() if edited is None else edited
    height, width = pixels.shape[:2]
    # The last row and column are repeated where a side is odd.
    pixels = np.pad(pixels, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    new = frame.colour.to_yuv(pixels)
    if not keeps_bytes or box is None:
        return new
    return _inserted(frame.colour.as_yuv(frame.image), new, box)


def _inserted(own: Any, new: Any, box: Box) -> Any:
    """Copy a box of one frame in 4:2:0 into another."""
    result = own.to_ndarray().copy()
    width, height = own.width, own.height
    left, top = (max(0, side - MARGIN_PX) // 2 for side in box[:2])  # in colour samples
    right, bottom = ((side + MARGIN_PX + 1) // 2 for side in box[2:])
    for i, (into, plane) in enumerate(
        zip(_planes(result, width, height), _planes(new.to_ndarray(), width, height), strict=True)
    ):
        scale = 2 if i == 0 else 1
        rows, columns = slice(scale * top, scale * bottom), slice(scale * left, scale * right)
        into[rows, columns] = plane[rows, columns]
    return load_av().VideoFrame.from_ndarray(result, format="yuv420p")


def _planes(stacked: Plane, width: int, height: int) -> tuple[Plane, Plane, Plane]:
    """Return brightness and the two colour differences, which follow each other in memory."""
    flat, area = stacked.reshape(-1), width * height
    small = (height // 2, width // 2)
    return (
        flat[:area].reshape(height, width),
        flat[area : area * 5 // 4].reshape(small),
        flat[area * 5 // 4 :].reshape(small),
    )
