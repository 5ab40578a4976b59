"""POST /embed: a photo in, its W+ code or its reconstruction out."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from model_core.errors import WplusError
from model_core.latents.latent import Latent
from model_core.shapes import Pixels, SquarePixels
from service.errors import rule_of
from service.handlers.body import read_request
from service.handlers.context import RequestContext, missing
from service.handlers.faces import FaceCrop, crop_face, describe_face
from service.handlers.image_response import render
from service.handlers.latents import add_detail, embed_face
from service.handlers.quality import compare
from service.handlers.runtime import Shared
from service.handlers.whole_photo import Change, check_output, write_whole_photo
from service.handlers.writer import Result, Writer, json_response
from service.openapi import DEVICE_ERRORS, MANY, PHOTO_ERRORS, describe
from service.serving.concurrency import gather
from service.serving.timings import StageTimings
from service.wire.json_bodies import EmbedBody
from service.wire.many import EmbedManyAnswer, PhotoResult
from service.wire.negotiation import CODES, IMAGES, JSON, negotiate
from service.wire.options import EmbedOptions
from service.wire.problems import describe_refusal
from service.wire.schemas import EmbedAnswer, QualityObject
from service.wire.sources import PhotoSource, RefusedSource, Source

OFFERS = (JSON, *IMAGES, *CODES)
PHOTOS_AT_ONCE = 2
T = TypeVar("T")
router = APIRouter(tags=["embed"])


@router.post(
    "/embed",
    summary="Embed a photo",
    **describe(
        EmbedBody,
        ("image",),
        OFFERS,
        (EmbedAnswer, EmbedManyAnswer),
        PHOTO_ERRORS + DEVICE_ERRORS,
        photos=MANY,
        raw=True,
    ),
)
async def embed(request: Request, runtime: Shared) -> Response:
    """Find the face, compute its W+ code, render it and measure how close the rendering is.

    With several photos (`image` repeated, or `images` in JSON) the answer has `results`, one for
    each photo: its answer, or its problem.
    """
    media = negotiate(request, OFFERS)
    context = await read_request(
        request, runtime, EmbedOptions, EmbedBody, ("image",), raw="image", several=True
    )
    options = context.options
    if len(context.sources) > 1 or "images" in dict(context.sources):
        return await _embed_many(request, context, media)
    (source,) = context.only("image")
    if not isinstance(source, PhotoSource):
        raise missing("image", "image must be a photo, got a code: /generate renders codes")
    if options.output == "photo":
        return await _embed_whole(context, source, media)
    if media == JSON:
        result, about = await _answer(context, source, _budget_s(context))
        return await Writer(context).write(result, media, EmbedAnswer, **about)
    crop = await crop_face(context, source)
    latent, _ = await _code_of(context, crop, _budget_s(context))
    pixels = None if media in CODES else await render(context, latent)
    writer = Writer(context)
    return await writer.write(Result(latent, await writer.keep(latent), pixels), media)


async def _answer(
    context: RequestContext[EmbedOptions], source: PhotoSource, budget_s: float
) -> tuple[Result, dict[str, Any]]:
    """Embed a photo; also return the members that /embed adds to a JSON answer."""
    crop = await crop_face(context, source, counted=True)

    async def rebuild() -> tuple[Result, QualityObject | None, int]:
        latent, steps = await _code_of(context, crop, budget_s)
        shown = context.options.quality or context.options.wanted != "code"
        pixels = await render(context, latent) if shown else None
        result = Result(latent, await Writer(context).keep(latent), pixels)
        return result, await _measure(context, crop, pixels), steps

    faces, (result, quality, steps) = await _while_counting(context, crop, rebuild)
    return result, faces | {"quality": quality, "polish_steps": steps}


async def _embed_many(
    request: Request, context: RequestContext[EmbedOptions], media: str
) -> Response:
    """Embed several photos; what is wrong with one of them is its own problem."""
    most, count = context.runtime.settings.max_images, len(context.sources)
    if count > most:
        raise missing("image", f"image must be given at most {most} times, got {count}")
    if media != JSON:
        raise missing("image", f"image must be given once when Accept is {media}, got {count}")
    if context.options.output == "photo":
        raise missing("output", f"output must be face with several photos, got {count}")

    budget_s = _budget_s(context, math.ceil(count / PHOTOS_AT_ONCE))

    async def embed_one(source: Source) -> PhotoResult:
        timings = StageTimings(context.timings.op, context.runtime.telemetry, context.deadline_s)
        own = replace(context, timings=timings)
        try:
            if isinstance(source, RefusedSource):
                raise source.error
            if not isinstance(source, PhotoSource):
                raise missing("image", "image must be a photo, got a code: /generate renders codes")
            result, about = await _answer(own, source, budget_s)
        except WplusError as err:
            status = rule_of(type(err)).status
            if status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS:
                raise
            return PhotoResult(problem=describe_refusal(request.scope, err))
        writer = Writer(own)
        run = own.runtime.in_signing_worker if writer.wants_image(media) else own.runtime.in_worker
        return PhotoResult(answer=await run(partial(writer.answer, result, EmbedAnswer, about)))

    results: list[PhotoResult] = []
    # Each holds a decoded photo, so few at a time.
    for start in range(0, count, PHOTOS_AT_ONCE):
        part = context.sources[start : start + PHOTOS_AT_ONCE]
        results += await gather(*(partial(embed_one, source) for _, source in part))
    total = {"total": context.timings.as_ms()["total"]}
    return await json_response(context, lambda: EmbedManyAnswer(results=results, timings_ms=total))


def _budget_s(context: RequestContext[EmbedOptions], parts: int = 1) -> float:
    """Return the seconds for polishing in each of a request's consecutive parts.

    Together they take at most half of the time until the deadline: the other half is for reading,
    embedding and rendering.
    """
    wanted_s = context.options.budget_ms / 1000
    if context.deadline_s is None:
        return wanted_s
    left_s = context.deadline_s - asyncio.get_running_loop().time()
    return min(wanted_s, left_s / 2 / parts)


async def _code_of(
    context: RequestContext[EmbedOptions], face: FaceCrop, budget_s: float
) -> tuple[Latent, int]:
    """Embed a face and polish its code if there is a budget; also return the steps."""
    ws, steps = await embed_face(context, face), 0
    if budget_s > 0:
        improved = await context.runtime.engine.polish(face.input, ws, budget_s, context.deadline_s)
        polished = context.timings.take("polish", improved)
        ws, steps = polished.ws[0], polished.steps
    return await add_detail(context, face, ws), steps


async def _embed_whole(
    context: RequestContext[EmbedOptions], source: PhotoSource, media: str
) -> Response:
    """Answer the photo with the reconstructions of its faces in it."""
    check_output(context, media, edits=False)
    counts: list[int] = []
    budget_s = 0.0

    def share(faces: int) -> None:
        nonlocal budget_s
        budget_s = _budget_s(context, faces)

    async def change(face: FaceCrop) -> Change:
        latent, steps = await _code_of(context, face, budget_s)
        counts.append(steps)
        return Change(latent)

    async def about(face: FaceCrop, pixels: SquarePixels) -> dict[str, Any]:
        # The first face is the last to be changed.
        measure = partial(_measure, context, face, pixels)
        faces, quality = await _while_counting(context, face, measure)
        return faces | {"quality": quality, "polish_steps": counts[-1]}

    is_json = media == JSON
    return await write_whole_photo(
        context,
        source,
        media,
        change,
        EmbedAnswer,
        about if is_json else None,
        counted=is_json,
        on_found=share,
    )


async def _while_counting(
    context: RequestContext[EmbedOptions], crop: FaceCrop, work: Callable[[], Awaitable[T]]
) -> tuple[dict[str, Any], T]:
    """Do work on the device; a worker thread counts the faces, which takes about as long."""
    calls: tuple[Callable[[], Awaitable[Any]], ...] = (partial(describe_face, context, crop), work)
    found, done = await gather(*calls)
    face, faces = found or (None, None)
    return {"face": face, "faces": faces}, done


async def _measure(
    context: RequestContext[EmbedOptions], crop: FaceCrop, pixels: Pixels | None
) -> QualityObject | None:
    """Measure the reconstruction, if there is one and that is wanted."""
    if pixels is None or not context.options.quality:
        return None
    return await compare(context, crop, pixels)
