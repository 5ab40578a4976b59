"""Opacity maps: how much of the new face each position of the crop takes, 0 to 1."""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from model_core.compositing.placement import shrink

OPACITY_PX = 256
"""Side at which opacities are computed; they are smooth, so more would gain nothing."""

REACH_PX = 13
"""Width, at OPACITY_PX, of the brush that dilates changed positions."""

FEATHER_PX = 4.0
"""Standard deviation of the blur after dilation, at OPACITY_PX."""

NOISE_PX = 1.5
"""Standard deviation of the blur that removes noise from differences, at OPACITY_PX."""

LEAST = 1 / 128
"""Opacities below this become 0: they would change a pixel by less than half a level."""


@lru_cache(maxsize=8)
def ellipse(
    centre: tuple[float, float],
    radius: tuple[float, float],
    power: float = 2.6,
    inner: float = 0.8,
) -> Float32[np.ndarray, "256 256"]:
    """Return an opacity of 1 inside a rounded shape of the crop that falls to 0 at its edge.

    Args:
        centre: x and y as shares of the side.
        radius: Likewise.
        power: 2 is an ellipse, large values a rectangle.
        inner: Share of the radius up to which it is 1.
    """
    y, x = (np.mgrid[:OPACITY_PX, :OPACITY_PX] + 0.5) / OPACITY_PX
    across, down = np.abs(x - centre[0]) / radius[0], np.abs(y - centre[1]) / radius[1]
    distance = (across**power + down**power) ** (1 / power)
    opacity = (1 - rise(distance, inner, 1.0)).astype(np.float32)
    opacity.setflags(write=False)  # shared by all calls
    return opacity


def changed(
    old: UInt8[np.ndarray, "px px 3"],
    new: UInt8[np.ndarray, "px px 3"],
    least: float,
    sure: float,
    inside: Float32[np.ndarray, "256 256"],
    core: Float32[np.ndarray, "256 256"] | None = None,
) -> Float32[np.ndarray, "256 256"]:
    """Return an opacity that covers the positions where two images differ, dilated and feathered.

    Args:
        old: One image.
        new: The other.
        least: Largest difference, in levels of 255, that counts as unchanged.
        sure: Smallest difference that counts as fully changed.
        inside: Factor that confines the opacity.
        core: Opacity that holds whether or not the images differ there.
    """
    difference = cv2.absdiff(_resized(old), _resized(new)).max(2).astype(np.float32)
    opacity = rise(cv2.GaussianBlur(difference, (0, 0), NOISE_PX), least, sure)
    if core is not None:
        opacity = np.maximum(opacity, core)
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (REACH_PX, REACH_PX))
    opacity = cv2.GaussianBlur(cv2.dilate(opacity.astype(np.float32), brush), (0, 0), FEATHER_PX)
    opacity = np.asarray(opacity * inside)
    opacity[opacity < LEAST] = 0
    return opacity


def rise(x: Float[np.ndarray, "*shape"], low: float, high: float) -> Float32[np.ndarray, "*shape"]:
    """Rise smoothly from 0 at `low` to 1 at `high` (smoothstep)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    smooth: Float32[np.ndarray, "*shape"] = (t * t * (3 - 2 * t)).astype(np.float32)
    return smooth


def _resized(image: UInt8[np.ndarray, "px px 3"]) -> UInt8[np.ndarray, "256 256 3"]:
    size = (OPACITY_PX, OPACITY_PX)
    if len(image) >= OPACITY_PX:
        return shrink(image, OPACITY_PX)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR))
