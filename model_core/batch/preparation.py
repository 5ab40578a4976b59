"""Read a photo file and crop its aligned faces; runs in separate processes, without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64

from model_core.alignment.ffhq import NO_FACE, FaceAligner
from model_core.alignment.folder import LIMITS, MAX_BYTES
from model_core.errors import WplusError
from model_core.photos.reader import harden, read_photo
from model_core.pixels import FACE_PX, SquarePixels

Which = Literal["all", "largest"]

_aligner: FaceAligner | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFace:
    """An aligned face for the embedding network, and its position in the photo.

    Attributes:
        image: The crop, 256 px.
        box: Left, top, right, bottom in pixels of the upright photo.
        landmarks: 68 points (x, y) in the same pixels.
        score: The detector's confidence.
    """

    image: SquarePixels
    box: tuple[float, float, float, float]
    landmarks: Float64[np.ndarray, "68 2"]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPhoto:
    """The faces of a photo, largest first.

    Attributes:
        name: The photo's path relative to the folder, with slashes.
        faces: Its faces.
        reason: Why there are none; empty otherwise.
    """

    name: str
    faces: list[PreparedFace]
    reason: str = ""


def load_aligner(landmark_model: Path, second_glance: Path | None = None) -> None:
    """Give this process its aligner; call it before `prepare`."""
    global _aligner
    harden(LIMITS)
    _aligner = FaceAligner(landmark_model, second_glance)


def prepare(photo: Path, name: str, which: Which) -> PreparedPhoto:
    """Read a photo and crop its faces; a fault becomes its `reason`."""
    if _aligner is None:
        raise RuntimeError("load_aligner must be called first")
    try:
        if not photo.is_file():
            return PreparedPhoto(name, [], "not a regular file (perhaps a broken link)")
        if (size_bytes := photo.stat().st_size) > MAX_BYTES:
            return PreparedPhoto(
                name, [], f"image must have at most {MAX_BYTES} bytes, got {size_bytes}"
            )
        pixels = read_photo(photo.read_bytes(), LIMITS)
        if which == "all":
            found = _aligner.find(pixels.pixels)
        else:
            found = [_aligner.choose(pixels.pixels, 0)]
        scale = pixels.scale
        faces = []
        for face in found:
            crop = _aligner.align(pixels.pixels, face, FACE_PX).image
            left, top, right, bottom = (side * scale for side in face.box)
            faces.append(
                PreparedFace(crop, (left, top, right, bottom), face.landmarks * scale, face.score)
            )
    except (WplusError, OSError) as err:
        return PreparedPhoto(name, [], str(err))
    except Exception as err:  # one photo must not end a run that others are part of
        return PreparedPhoto(name, [], f"it cannot be processed: {err!r}")
    return PreparedPhoto(name, faces, "" if faces else NO_FACE)
