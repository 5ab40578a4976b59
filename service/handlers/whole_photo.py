"""Whole photos as answers: chosen faces are changed and put back, the largest on top."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from starlette.responses import Response

from model_core.compositing.insertion import insert
from model_core.compositing.pasting import Pasted
from model_core.errors import TooManyPixelsError
from model_core.latents.latent import Latent
from model_core.output.encoding import LONGEST_PX, MEDIA_TYPES, Format
from model_core.output.provenance import COMPOSITE
from model_core.shapes import Pixels, SquarePixels
from service.handlers.context import RequestContext, missing
from service.handlers.faces import Box, FaceCrop, open_whole_photo
from service.handlers.image_response import render
from service.handlers.writer import Result, Writer
from service.serving.concurrency import gather
from service.wire.negotiation import CODES, JSON
from service.wire.options import PasteOptions, WholePhotoOptions
from service.wire.schemas import CodeAnswer, PastedFace
from service.wire.sources import PhotoSource


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a face.

    Attributes:
        latent: The new face.
        own: The photo's own face as the generator renders it, without which nothing can be
            transferred; None if there is none.
        keeps_luminance: Whether the new face takes the luminance of its own.
    """

    latent: Latent
    own: Latent | None = None
    keeps_luminance: bool = False


MakeChange = Callable[[FaceCrop], Awaitable[Change]]
Describe = Callable[[FaceCrop, SquarePixels], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Done:
    """A face that is in the photo."""

    rank: int
    latent: Latent
    pixels: SquarePixels
    pasted: Pasted


def check_output(context: RequestContext[PasteOptions], media: str, *, edits: bool = True) -> None:
    """Refuse what an answer with the whole photo cannot be.

    Args:
        context: The request, with output=photo.
        media: Media type of the answer.
        edits: Whether the operation has an own face to transfer from.

    Raises:
        InvalidRequestError: If the answer is a code's file or a size is given, or transfer is
            asked for in vain.
    """
    if media in CODES:
        raise missing("output", f"output must be face when Accept is {media}, got photo")
    if "size" in context.options.model_fields_set:
        raise missing("size", "size must be omitted when output is photo, which keeps its own")
    if context.options.blend == "transfer" and not edits:
        raise missing(
            "blend",
            "blend must be auto or render here, got transfer: it adds the change that an edit "
            "makes, and this is no edit",
        )


async def write_whole_photo(
    context: RequestContext[WholePhotoOptions],
    source: PhotoSource,
    media: str,
    make: MakeChange,
    model: type[CodeAnswer] = CodeAnswer,
    describe: Describe | None = None,
    *,
    counted: bool = False,
    box: Box | None = None,
    on_found: Callable[[int], object] = lambda _count: None,
) -> Response:
    """Answer a photo whose chosen faces have been changed.

    Args:
        context: The request.
        source: The photo.
        media: Media type of the answer: JSON or an image.
        make: Makes the change of a face, for each of them.
        model: Model of a JSON answer.
        describe: Makes the members that the model adds, from the first face and its render.
        counted: Whether `describe` needs the first face counted.
        box: Where the chosen face was found before, as for `open_whole_photo`.
        on_found: Called with the number of chosen faces before the first one is changed.
    """
    options = context.options
    if options.wanted == "code" and "wanted" in options.model_fields_set:
        raise missing("return", "return must be image or both when output is photo, got code")
    form = options.form if media == JSON else MEDIA_TYPES[media]
    limit = context.runtime.whole_photos
    with limit.enter():
        async with limit.turn:
            photo = await open_whole_photo(context, source, counted, box)
            _check_format(photo.pixels, form)
            on_found(len(photo.faces))
            done: list[_Done] = []
            # The largest is the nearest: it is pasted last.
            for i in reversed(range(len(photo.faces))):
                change = await make(photo.faces[i])
                place = (photo.ranks[i], photo.quads[i])
                done.insert(0, await _paste(context, photo.pixels, place, change))
            about: dict[str, Any] = {}
            if describe is not None:
                about = await describe(photo.faces[0], done[0].pixels)
            return await _write(context, (source.data, photo.pixels), done, media, model, about)


def _check_format(photo: Pixels, form: Format) -> None:
    """Refuse a format that cannot hold an image as long as the photo.

    Raises:
        TooManyPixelsError: If it cannot.
    """
    longest, most = max(photo.shape[:2]), LONGEST_PX[form]
    if longest > most:
        raise TooManyPixelsError(
            f"photo must be at most {most} px long to be answered as {form}, got {longest}: "
            "ask for another format, such as png"
        )


async def _paste(
    context: RequestContext[WholePhotoOptions],
    photo: Pixels,
    place: tuple[int, np.ndarray],
    change: Change,
) -> _Done:
    """Render a change and put it into the photo."""
    rank, quad = place
    latents = [change.latent] + ([change.own] if change.own is not None else [])
    renders = [await render(context, latent) for latent in latents]
    new, own = renders[0], renders[1] if len(renders) > 1 else None

    def paste() -> tuple[SquarePixels, Pasted]:
        with context.timings.measure("paste"):
            return insert(photo, quad, new, own, context.options.blend, change.keeps_luminance)

    shown, pasted = await context.runtime.in_worker(paste)
    return _Done(rank, change.latent, shown, pasted)


async def _write(
    context: RequestContext[WholePhotoOptions],
    photo: tuple[bytes, Pixels],
    done: list[_Done],
    media: str,
    model: type[CodeAnswer],
    about: dict[str, Any],
) -> Response:
    """Answer a changed photo: its file as it came, and its pixels as they are now."""
    data, pixels = photo
    if context.options.wanted == "code":  # the photo is what output=photo is for
        options = context.options.model_copy(update={"wanted": "both"})
        context = replace(context, options=options)
    writer = Writer(context)
    ids = await gather(*(partial(writer.keep, each.latent) for each in done))
    rows = [
        PastedFace(
            index=each.rank,
            blend=each.pasted.blend,
            box=None if each.pasted.box is None else list(each.pasted.box),
            latent_id=latent_id,
            code=writer.code_object(each.latent.ws),
        )
        for each, latent_id in zip(done, ids, strict=True)
    ]
    first = Result(done[0].latent, ids[0], pixels, COMPOSITE, is_photo=True, photo=data)
    return await writer.write(first, media, model, pasted=rows, **about)
