"""From a source to its code and, for a photo, its aligned face."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from model_core.alignment.ffhq import AlignedFace, brightness
from model_core.errors import ImageRejectedError, InvalidInputError, NoFaceError
from model_core.images import FACE_PX
from model_core.latents.latent import Detail, Latent
from model_core.shapes import SquarePixels, Ws
from service.errors import rule_of
from service.handlers.context import RequestContext
from service.wire.codes import read_latent
from service.wire.images import read_photo
from service.wire.options import FaceOptions, Options, OutputOptions, QualityOptions
from service.wire.schemas import FaceObject
from service.wire.sources import CodeSource, LatentSource, PhotoSource, Source


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
        grey: The photo's brightness, to count faces in; None if the count is not needed.
    """

    aligned: AlignedFace
    index: int
    scale: float
    grey: Image.Image | None


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """A code and where it came from.

    Attributes:
        latent: The code, with its detail where there is one.
        face: The face that it was computed from; None if the code itself was given.
    """

    latent: Latent
    face: FaceCrop | None = None


async def resolve_source(
    context: RequestContext[FaceOptions], source: Source, crop_px: int | None = None
) -> ResolvedSource:
    """Embed a photo, read a code, or look up a latent id.

    Args:
        context: The request.
        source: One of its sources.
        crop_px: Also crop the face at this size.
    """
    if not isinstance(source, PhotoSource):
        return ResolvedSource(await resolve_code(context, source))
    ws, face = await embed_photo(context, source, crop_px)
    return ResolvedSource(await add_detail(context, face, ws), face)


async def embed_photo(
    context: RequestContext[FaceOptions],
    source: PhotoSource,
    crop_px: int | None = None,
    counted: bool = False,
) -> tuple[Ws, FaceCrop]:
    """Read, align and embed a photo; only `counted` faces can be described."""
    face = await crop_face(context, source, crop_px, counted)
    answer = await context.runtime.engine.embed(face.input, context.deadline_s)
    return context.timings.take("encode", answer), face


async def add_detail(context: RequestContext[FaceOptions], face: FaceCrop, ws: Ws) -> Latent:
    """Encode the detail that a code leaves out of its face, if it is wanted and available."""
    if not _wants_detail(context) or context.loaded.generator.detail is None:
        return Latent(ws)
    answer = await context.runtime.engine.detail(face.input, ws, context.deadline_s)
    return Latent(ws, Detail(context.timings.take("detail", answer), ws))


async def resolve_code(
    context: RequestContext[Options], source: CodeSource | LatentSource
) -> Latent:
    """Read a code, or look up a latent id."""
    runtime, with_detail = context.runtime, _wants_detail(context)
    if isinstance(source, LatentSource):
        return await runtime.latents.get(source.latent_id, context.owner, with_detail)
    return await runtime.in_worker(read_latent, source.value, context.loaded.generator, with_detail)


def _wants_detail(context: RequestContext[Options]) -> bool:
    options = context.options
    return isinstance(options, OutputOptions | QualityOptions) and options.detail


async def crop_face(
    context: RequestContext[FaceOptions],
    source: PhotoSource,
    crop_px: int | None = None,
    counted: bool = False,
) -> FaceCrop:
    """Decode a photo and crop the face in one worker thread, so that only the crop remains."""
    runtime = context.runtime
    try:
        return await runtime.in_worker(_cut_out, context, source.data, crop_px, counted)
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
    try:
        with timings.measure("detect"):
            face = aligner.choose(photo.pixels, options.face)
    except NoFaceError as err:
        raise NoFaceError(f"{err}; if the photo is already cropped, use align=none") from err
    with timings.measure("align"):
        aligned = aligner.align(photo.pixels, face, FACE_PX)
        crop = None
        if crop_px is not None:
            crop = aligner.align(photo.pixels, face, crop_px).image
    grey = brightness(photo.pixels) if counted else None
    found = Found(aligned, options.face, photo.scale, grey)
    return FaceCrop(aligned.image, crop, found)


async def describe_face(context: RequestContext[Options], face: FaceCrop) -> FaceObject | None:
    """Describe where a face was found and how many there are; None if it was not counted.

    Counting takes a closer look at the photo than finding the largest face did.
    """
    found = face.found
    if found is None or found.grey is None:
        return None
    grey = found.grey

    def count() -> int:
        with context.timings.measure("count"):
            return context.loaded.aligner.count(grey)

    return _describe(found, await context.runtime.in_worker(count))


def _as_aligned(pixels: SquarePixels, crop_px: int | None) -> FaceCrop:
    height, width, _ = pixels.shape
    if height != width:
        raise InvalidInputError(f"photo must be square when align is none, got {width}x{height}")
    crop = None if crop_px is None else _resized(pixels, crop_px)
    return FaceCrop(_resized(pixels, FACE_PX), crop, None)


def _resized(pixels: SquarePixels, side_px: int) -> SquarePixels:
    size = (side_px, side_px)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _describe(found: Found, count: int) -> FaceObject:
    aligned, scale = found.aligned, found.scale
    return FaceObject(
        index=found.index,
        count=count,
        box=[round(side * scale, 2) for side in aligned.face.box],
        landmarks=(aligned.face.landmarks * scale).round(2).tolist(),
        score=aligned.face.score,
        quad=(aligned.quad * scale).round(2).tolist(),
    )
