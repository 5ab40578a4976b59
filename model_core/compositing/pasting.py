"""Put an edited face back into its photo.

`transfer` adds the difference between two renders to the photo, which keeps its own texture,
background and everything that the edit does not change; it suits edits that move little. `render`
pastes the new render itself, blended in several frequency bands; it suits edits that turn the head
or change the person, where the photo's own texture would remain as a ghost. Pixels outside the
opacity keep their exact values.

Both work inside the crop's box only, so the photo's size hardly affects the time.

Source: multi-band blending: Burt and Adelson 1983, as OpenCV implements it.
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from model_core.compositing.opacity import OPACITY_PX, changed, ellipse, rise
from model_core.compositing.placement import Box, Placement, shrink, strips

Blend = Literal["transfer", "render"]
Photo = UInt8[np.ndarray, "height width 3"]
Quad = Float[np.ndarray, "4 2"]
Square = UInt8[np.ndarray, "size size 3"]

HEAD = ellipse((0.5, 0.52), (0.44, 0.47))
"""Where `transfer` may change the crop: face and hair."""

FRAME = ellipse((0.5, 0.5), (0.495, 0.495), power=6.0)
"""Where `render` may change it: nearly everywhere, because the hair turns with the head."""

FACE = ellipse((0.5, 0.56), (0.27, 0.34))
"""What `render` always replaces, so that no part of the old face shows."""

TRANSFER_BYTES = (4.0, 12.0)
RENDER_BYTES = (8.0, 24.0)
"""Differences in levels of 255: below the first a place counts as unchanged, above the second as
changed. A reconstruction with detail differs from its photo by about 6."""

COARSEST_PX = 64
"""Side at which the coarsest band is blended: coarser bands would let the old face show through."""

MARGIN_PX = 17
"""Width, at OPACITY_PX, of the brush that widens the opacity so that coarse bands can blend."""

COLOUR_PX = 64
COLOUR_BLUR = 6.0
ALIKE_BYTES = 16.0
"""Where photo and render differ by more levels, the content differs, not only the colour."""

STILL_PX = 2.0
"""Most that a face may move, in its median and at 256 px, for `transfer`. Smiles of +-1.5 move it
by up to 1.9, turns of 1 by 2.0 to 5.2, turns of 1.5 by 3.4 to 7.8, other people's colours by .4."""


@dataclass(frozen=True, slots=True, eq=False)
class Pasted:
    """What pasting a face has done to its photo.

    Attributes:
        blend: How it was done.
        box: The pixels that may have changed; None if there are none.
        opacity: Share of the new face in each pixel of the box; 0 leaves a pixel as it was.
    """

    blend: Blend
    box: Box | None
    opacity: Float32[np.ndarray, "height width"]


def movement_px(old: Square, new: Square) -> float:
    """Measure how far a face moves between two renders: median over the face, at 256 px.

    Source: dense inverse search (Kroeger et al. 2016), as OpenCV implements it.
    """
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(shrink(image, OPACITY_PX), cv2.COLOR_RGB2GRAY) for image in (old, new)]
    if len(grey[0]) < OPACITY_PX:
        size = (OPACITY_PX, OPACITY_PX)
        grey = [cv2.resize(each, size, interpolation=cv2.INTER_LINEAR) for each in grey]
    start = np.zeros((OPACITY_PX, OPACITY_PX, 2), np.float32)
    moved = np.linalg.norm(flow.calc(grey[0], grey[1], start), axis=2)
    return float(np.median(moved[FACE > 0.5]))


def choose_blend(old: Square, new: Square) -> Blend:
    """Choose how to paste an edited face: by how far the edit moves it."""
    return "transfer" if movement_px(old, new) <= STILL_PX else "render"


def transfer(photo: Photo, quad: Quad, old: Square, new: Square) -> Pasted:
    """Add the difference of two renders to the photo, where they differ.

    Args:
        photo: The photo, which is changed.
        quad: The crop's corners, as in `AlignedFace`.
        old: Render of the photo's own code, in the crop's frame.
        new: Render of the edited code.
    """
    place = _place(photo, quad)
    px = place.work_px(len(new))
    old, new = shrink(old, px), shrink(new, px)
    opacity = changed(old, new, *TRANSFER_BYTES, inside=HEAD)
    difference = np.subtract(new, old, dtype=np.float32)
    return _apply(photo, place, opacity, difference, "transfer")


def render(photo: Photo, quad: Quad, new: Square, old: Square | None = None) -> Pasted:
    """Paste a render into the photo, its colours matched and its seam blended.

    Args:
        photo: The photo, which is changed.
        quad: The crop's corners, as in `AlignedFace`.
        new: The render, in the crop's frame.
        old: Render of the photo's own code, which shows how the generator's colours differ from
            the photo's; None takes the new one.
    """
    place = _place(photo, quad)
    px = place.work_px(len(new))
    crop, new = place.drop(photo, px), shrink(new, px)
    opacity = changed(crop, new, *RENDER_BYTES, inside=FRAME, core=FACE)
    matched = new + _colour_offset(crop, new if old is None else shrink(old, px), opacity)
    blended = _multi_band(crop, matched, opacity)
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (MARGIN_PX, MARGIN_PX))
    wider = rise(cv2.GaussianBlur(cv2.dilate(opacity, brush), (0, 0), 4.0), 0.05, 0.6) * FRAME
    return _apply(photo, place, wider, blended, "render")


def _place(photo: Photo, quad: Quad) -> Placement:
    height, width, _ = photo.shape
    return Placement(quad, width, height)


def _apply(
    photo: Photo,
    place: Placement,
    opacity: Float32[np.ndarray, "256 256"],
    image: Float32[np.ndarray, "px px 3"],
    blend: Blend,
) -> Pasted:
    """Change the photo, strip by strip: by the image (`transfer`), or towards it (`render`)."""
    box = place.box_of(opacity)
    if box is None:
        return Pasted(blend, None, np.zeros((0, 0), np.float32))
    left, top, right, bottom = box
    shares = np.zeros((bottom - top, right - left), np.float32)
    for strip in strips(box):
        rows = slice(strip[1], strip[3])
        share = place.lift(opacity, strip)
        shares[strip[1] - top : strip[3] - top] = share
        if not share.any():
            continue
        region = photo[rows, left:right]
        step = place.lift(image, strip)
        if blend == "render":
            step -= region
        step *= share[..., None]
        step += region
        np.clip(np.rint(step, out=step), 0, 255, out=step)
        # Where the share is 0, the step is the pixel itself.
        region[:] = step.astype(np.uint8)
    return Pasted(blend, box, shares)


def _colour_offset(
    crop: Square, render: Square, opacity: Float32[np.ndarray, "256 256"]
) -> Float32[np.ndarray, "px px 3"]:
    """Return what to add to the render's colours to match the photo's around the opacity.

    It is measured around the opacity, where both show the same content, and extended smoothly
    inwards.
    """
    size = (COLOUR_PX, COLOUR_PX)
    small = [
        cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        for image in (crop, render)
    ]
    difference = small[0] - small[1]
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (MARGIN_PX, MARGIN_PX))
    around = cv2.dilate((opacity > 0).astype(np.float32), brush) * (1 - np.minimum(opacity * 2, 1))
    weight = cv2.resize(around, size, interpolation=cv2.INTER_AREA)
    weight *= np.exp(-((np.abs(difference).max(2) / ALIKE_BYTES) ** 2))
    weight = weight[..., None]
    # Where there is little to measure, the constants pull the offset to the mean and that to 0.
    mean = (difference * weight).sum((0, 1)) / (weight.sum() + 20)
    spread = cv2.GaussianBlur(difference * weight, (0, 0), COLOUR_BLUR)
    known = cv2.GaussianBlur(weight, (0, 0), COLOUR_BLUR)[..., None]
    offset = (spread + 0.05 * mean) / (known + 0.05)
    px = len(crop)
    return np.asarray(cv2.resize(offset, (px, px), interpolation=cv2.INTER_CUBIC), np.float32)


def _multi_band(
    crop: Square,
    matched: Float32[np.ndarray, "px px 3"],
    opacity: Float32[np.ndarray, "256 256"],
) -> Float32[np.ndarray, "px px 3"]:
    """Blend the render into the crop: coarse bands across a wide seam, fine across a narrow one."""
    px = len(crop)
    # Linear: a cubic would overshoot.
    inside = cv2.resize(opacity, (px, px), interpolation=cv2.INTER_LINEAR) > 0.5
    mask = inside.astype(np.uint8) * 255
    blender = cv2.detail.MultiBandBlender(0, max(1, round(math.log2(px / COARSEST_PX))))
    blender.prepare((0, 0, px, px))
    blender.feed(crop.astype(np.int16), 255 - mask, (0, 0))
    blender.feed(np.rint(matched).astype(np.int16), mask, (0, 0))
    blended, _ = blender.blend(np.empty((px, px, 3), np.int16), np.empty((px, px), np.uint8))
    return np.asarray(blended, np.float32)
