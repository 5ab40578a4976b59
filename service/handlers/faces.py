"""Faces in photos: decode a photo, find and crop the chosen faces, describe them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from model_core.alignment.face_search import FaceSearch
from model_core.alignment.ffhq import AlignedFace, DetectedFace
from model_core.errors import ImageRejectedError, InvalidInputError, NoFaceError
from model_core.images import FACE_PX
from model_core.photos.resize import resize_square
from model_core.shapes import Pixels, SquarePixels
from service.errors import rule_of
from service.handlers.context import RequestContext
from service.wire.face_choice import FaceChoice
from service.wire.images import read_photo, read_whole_photo
from service.wire.options import (
    FaceOptions,
    Options,
    WholePhotoOptions,
)
from service.wire.schemas import FaceObject, FoundFace
from service.wire.sources import PhotoSource

T = TypeVar("T")
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """A face cropped from a photo.

    Attributes:
        input: What the embedding network sees, 256 px.
        crop: The same crop at the requested size; None if no size was requested.
        found: Where it was found; None if the photo was sent already aligned.
    """

    input: SquarePixels
    crop: SquarePixels | None
    found: "Found | None"


@dataclass(frozen=True, slots=True)
class Found:
    """Where a face was found.

    Attributes:
        aligned: The face.
        index: Its rank by size, from 0.
        scale: Pixels of the file per pixel of the photo.
        search: The search that found it, to count the others; None if no count is needed.
    """

    aligned: AlignedFace
    index: int
    scale: float
    search: FaceSearch | None

    @property
    def box(self) -> Box:
        """Its box in pixels of the file, upright."""
        left, top, right, bottom = _box(self.aligned.face, self.scale)
        return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class WholePhoto:
    """A photo at its own size, with the faces to change.

    Attributes:
        pixels: RGB; may be changed.
        faces: The chosen faces, the largest first.
        quads: The corners of their crops, as in `AlignedFace`.
        ranks: Their ranks by size.
    """

    pixels: Pixels
    faces: list[FaceCrop]
    quads: list[np.ndarray]
    ranks: list[int]


async def crop_face(
    context: RequestContext[FaceOptions],
    source: PhotoSource,
    crop_px: int | None = None,
    counted: bool = False,
) -> FaceCrop:
    """Decode a photo and crop the face in one worker thread, so that only the crop remains."""
    return await _read(context, _cut_out, source.data, crop_px, counted)


async def open_whole_photo(
    context: RequestContext[WholePhotoOptions],
    source: PhotoSource,
    counted: bool = False,
    box: Box | None = None,
) -> WholePhoto:
    """Decode a photo at its own size and crop the chosen faces.

    Args:
        context: The request.
        source: The photo.
        counted: Whether the first face can be described.
        box: Where the chosen face, a single one, was found before, in pixels of the file. Its rank
            does not identify it, because faces of similar size may swap ranks when the photo is
            decoded at another size.
    """
    return await _read(context, _open_whole, source.data, counted, box)


async def _read(
    context: RequestContext[Any], read: Callable[..., T], data: bytes, *arguments: object
) -> T:
    """Read a photo in a worker thread; count it if it is refused."""
    runtime = context.runtime
    try:
        return await runtime.in_worker(read, context, data, *arguments)
    except (ImageRejectedError, NoFaceError) as err:
        runtime.telemetry.image_rejected.labels(reason=rule_of(type(err)).code).inc()
        raise


def _cut_out(
    context: RequestContext[FaceOptions], data: bytes, crop_px: int | None, counted: bool
) -> FaceCrop:
    timings, options, aligner = context.timings, context.options, context.loaded.aligner
    with timings.measure("decode"):
        photo = read_photo(data, context.runtime.image_limits)
    if options.align == "none":
        with timings.measure("align"):
            return _as_aligned(photo.pixels, crop_px)
    search, chosen = _find(context, photo.pixels, options.rank, counted)
    with timings.measure("align"):
        aligned = aligner.align(photo.pixels, chosen[options.rank], FACE_PX)
        crop = None
        if crop_px is not None:
            crop = aligner.align(photo.pixels, chosen[options.rank], crop_px).image
    found = Found(aligned, options.rank, photo.scale, search if counted else None)
    return FaceCrop(aligned.image, crop, found)


def _open_whole(
    context: RequestContext[WholePhotoOptions], data: bytes, counted: bool, box: Box | None
) -> WholePhoto:
    timings, options = context.timings, context.options
    with timings.measure("decode"):
        limits, most = context.runtime.image_limits, context.runtime.settings.max_whole_pixels
        pixels = read_whole_photo(data, limits, most).pixels.copy()
    if options.align == "none":
        side = len(pixels)
        corners = np.array([(0, 0), (0, side), (side, side), (side, 0)]) - 0.5
        return WholePhoto(pixels, [_as_aligned(pixels, None)], [corners], [0])
    search, chosen = _find(context, pixels, options.face if box is None else "all", counted)
    if box is not None:
        found = _nearest(chosen.values(), box)
        chosen = {options.face if isinstance(options.face, int) else 0: found}
    faces: list[FaceCrop] = []
    with timings.measure("align"):
        for rank, face in chosen.items():
            aligned = context.loaded.aligner.align(pixels, face, FACE_PX)
            kept = search if counted and not faces else None
            faces.append(FaceCrop(aligned.image, None, Found(aligned, rank, 1.0, kept)))
    quads = [face.found.aligned.quad for face in faces if face.found]
    return WholePhoto(pixels, faces, quads, list(chosen))


def _find(
    context: RequestContext[FaceOptions], photo: Pixels, choice: FaceChoice, counted: bool
) -> tuple[FaceSearch, dict[int, DetectedFace]]:
    """Find the chosen faces, by rank; also return the search, to count them all."""
    try:
        with context.timings.measure("detect"):
            search = context.loaded.aligner.search(photo, all_faces=counted or choice != 0)
            if isinstance(choice, int):
                return search, {choice: search.choose(choice)}
            return search, search.choose_several(None if choice == "all" else choice)
    except NoFaceError as err:
        raise NoFaceError(f"{err}; if the photo is already cropped, use align=none") from err


def _nearest(faces: Iterable[DetectedFace], box: Box) -> DetectedFace:
    """Find a face again: the nearest, whose centre must lie in the box."""
    left, top, right, bottom = box
    centre = np.array([left + right, top + bottom]) / 2

    def offset(face: DetectedFace) -> np.ndarray:
        found: np.ndarray = np.reshape(face.box, (2, 2)).mean(0) - centre
        return found

    nearest = min(faces, key=lambda face: float(np.linalg.norm(offset(face))))
    if (np.abs(offset(nearest)) > np.array([right - left, bottom - top]) / 2).any():
        raise NoFaceError(
            f"the face at {list(box)} was not found again in the whole photo; get the face alone "
            "with output=face"
        )
    return nearest


async def describe_face(
    context: RequestContext[Options], face: FaceCrop
) -> tuple[FaceObject, list[FoundFace]] | None:
    """Describe where a face was found and which others there are; None if it was not counted.

    Counting takes a closer look at the photo than finding the largest face did.
    """
    found = face.found
    if found is None or found.search is None:
        return None
    search = found.search

    def find() -> list[DetectedFace]:
        with context.timings.measure("count"):
            return search.faces

    others = await context.runtime.in_worker(find)
    rows = [
        FoundFace(index=rank, box=_box(each, found.scale), score=each.score)
        for rank, each in enumerate(others)
    ]
    return _describe(found, len(rows)), rows


def _as_aligned(pixels: SquarePixels, crop_px: int | None) -> FaceCrop:
    height, width, _ = pixels.shape
    if height != width:
        raise InvalidInputError(f"photo must be square when align is none, got {width}x{height}")
    image = Image.fromarray(pixels)
    crop = None if crop_px is None else resize_square(image, crop_px)
    return FaceCrop(resize_square(image, FACE_PX), crop, None)


def _describe(found: Found, count: int) -> FaceObject:
    aligned, scale = found.aligned, found.scale
    return FaceObject(
        index=found.index,
        count=count,
        box=list(found.box),
        landmarks=(aligned.face.landmarks * scale).round(2).tolist(),
        score=aligned.face.score,
        quad=(aligned.quad * scale).round(2).tolist(),
    )


def _box(face: DetectedFace, scale: float) -> list[float]:
    return [round(side * scale, 2) for side in face.box]
