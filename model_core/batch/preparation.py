"""Read a photo file and crop its aligned faces; runs in separate processes, without torch."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64

from model_core.alignment.face_search import NO_FACE
from model_core.alignment.ffhq import FaceAligner
from model_core.alignment.folder import LIMITS, MAX_BYTES
from model_core.errors import WplusError
from model_core.output.input_marks import InputMarks, read_marks
from model_core.photos.reader import harden, read_photo
from model_core.pixels import FACE_PX, Pixels, SquarePixels

Which = Literal["all", "largest"]

_aligner: FaceAligner | None = None


class UnreadableError(WplusError):
    """A photo's file is not one, or is too large."""


class SourceLostError(WplusError):
    """The folder of photos cannot be reached any more, so no further photo can be read."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFace:
    """An aligned face for the embedding network, and its position in the photo.

    Attributes:
        image: The crop, 256 px.
        box: Left, top, right, bottom in pixels of the upright photo.
        landmarks: 68 points (x, y) in the same pixels.
        score: The detector's confidence.
        quad: The corners of the crop in pixels as decoded, as in `AlignedFace`.
        crop: The crop at the size that was asked for; None if none was.
    """

    image: SquarePixels
    box: tuple[float, float, float, float]
    landmarks: Float64[np.ndarray, "68 2"]
    score: float
    quad: Float64[np.ndarray, "4 2"]
    crop: SquarePixels | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPhoto:
    """The faces of a photo, largest first.

    Attributes:
        name: The photo's path relative to the folder, with slashes.
        faces: Its faces.
        reason: Why there are none; empty otherwise.
        pixels: The photo at its own size; None unless asked for.
        marks: The photo's AI marks, to keep on images that show it; None if it has none.
    """

    name: str
    faces: list[PreparedFace]
    reason: str = ""
    pixels: Pixels | None = None
    marks: InputMarks | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What to prepare of a photo.

    Attributes:
        which: All faces, or the largest.
        whole: Whether to keep the photo at its own size, to put faces back.
        crop_px: Also crop the faces at this size.
    """

    which: Which = "all"
    whole: bool = False
    crop_px: int | None = None


def load_aligner(landmark_model: Path, second_glance: Path | None = None) -> None:
    """Give this process its aligner; call it before `prepare`."""
    global _aligner
    harden(LIMITS)
    _aligner = FaceAligner(landmark_model, second_glance)


def prepare(photo: Path, name: str, look: Look) -> PreparedPhoto:
    """Read a photo and crop its faces; a fault becomes its `reason`.

    Raises:
        SourceLostError: If the photo's folder is gone, as when a disk or share is disconnected.
    """

    def read() -> bytes:
        if not photo.is_file():
            raise UnreadableError("not a regular file (perhaps a broken link)")
        check_size(photo.stat().st_size)
        return photo.read_bytes()

    def read_or_stop() -> bytes:
        try:
            return read()
        except (OSError, UnreadableError):
            _check_folder(photo.parent)
            raise

    return prepare_from(read_or_stop, name, look)


def _check_folder(folder: Path) -> None:
    """Check that a folder that had photos is still there, and not just its mount point.

    Raises:
        SourceLostError: If it is not.
    """
    try:
        with os.scandir(folder) as entries:
            if next(entries, None) is not None:
                return
            problem = "it is empty"
    except OSError as err:
        problem = str(err)
    raise SourceLostError(
        f"{folder} cannot be read any more ({problem}); run the same command again to continue"
    )


def check_size(size_bytes: int) -> None:
    """Refuse a file that is too large to be read.

    Raises:
        UnreadableError: If it is.
    """
    if size_bytes > MAX_BYTES:
        raise UnreadableError(f"image must have at most {MAX_BYTES} bytes, got {size_bytes}")


def prepare_from(read: Callable[[], bytes], name: str, look: Look) -> PreparedPhoto:
    """Crop the faces of a photo whose bytes `read` returns; a fault becomes its `reason`.

    Raises:
        SourceLostError: If `read` raises it.
    """
    if _aligner is None:
        raise RuntimeError("load_aligner must be called first")
    try:
        return _look_at(read(), name, look, _aligner)
    except SourceLostError:
        raise
    except (WplusError, OSError) as err:
        return PreparedPhoto(name, [], str(err))
    except Exception as err:  # one photo must not end a run that others are part of
        return PreparedPhoto(name, [], f"it cannot be processed: {err!r}")


def _look_at(data: bytes, name: str, look: Look, aligner: FaceAligner) -> PreparedPhoto:
    photo = read_photo(data, replace(LIMITS, own_size=look.whole))
    pixels, scale = photo.pixels, photo.scale
    search = aligner.search(pixels)
    found = search.faces if look.which == "all" else [search.choose(0)]
    faces = []
    for face in found:
        aligned = aligner.align(pixels, face, FACE_PX)
        crop = aligner.align(pixels, face, look.crop_px).image if look.crop_px else None
        left, top, right, bottom = (side * scale for side in face.box)
        faces.append(
            PreparedFace(
                aligned.image,
                (left, top, right, bottom),
                face.landmarks * scale,
                face.score,
                aligned.quad,
                crop,
            )
        )
    kept = pixels if look.whole and faces else None
    return PreparedPhoto(name, faces, "" if faces else NO_FACE, kept, read_marks(data))
