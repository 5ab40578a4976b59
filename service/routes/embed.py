"""POST /embed: a photo in, its W+ code or its reconstruction out."""

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.handlers.body import read_request
from service.handlers.context import missing
from service.handlers.faces import add_detail, describe_face, embed_photo
from service.handlers.image_response import render
from service.handlers.quality import compare
from service.handlers.runtime import Shared
from service.handlers.writer import Result, Writer
from service.openapi import DEVICE_ERRORS, PHOTO_ERRORS, describe
from service.serving.concurrency import gather
from service.wire.json_bodies import EmbedBody
from service.wire.negotiation import CODES, IMAGES, JSON, negotiate
from service.wire.options import EmbedOptions
from service.wire.schemas import EmbedAnswer
from service.wire.sources import PhotoSource

OFFERS = (JSON, *IMAGES, *CODES)
router = APIRouter(tags=["embed"])


@router.post(
    "/embed",
    summary="Embed a photo",
    **describe(
        EmbedBody,
        ("image",),
        OFFERS,
        (EmbedAnswer,),
        PHOTO_ERRORS + DEVICE_ERRORS,
        photos=1,
        raw=True,
    ),
)
async def embed(request: Request, runtime: Shared) -> Response:
    """Find the face, compute its W+ code, render it and measure how close the rendering is."""
    media = negotiate(request, OFFERS)
    context = await read_request(request, runtime, EmbedOptions, EmbedBody, ("image",), raw="image")
    options, timings = context.options, context.timings
    (source,) = context.only("image")
    if not isinstance(source, PhotoSource):
        raise missing("image", "image must be a photo, got a code: /generate renders codes")
    counted = media == JSON  # no other answer says how many faces there are
    ws, crop = await embed_photo(context, source, counted=counted)
    steps = 0
    if options.budget_ms:
        budget_s = options.budget_ms / 1000
        improved = await runtime.engine.polish(crop.input, ws, budget_s, context.deadline_s)
        polished = timings.take("polish", improved)
        ws, steps = polished.ws[0], polished.steps
    latent = await add_detail(context, crop, ws)
    writer = Writer(context)
    if media in CODES:
        latent_id = await writer.keep(latent)
        return await writer.write(Result(latent, latent_id, None), media)
    pixels = await render(context, latent)
    latent_id = await writer.keep(latent)
    result = Result(latent, latent_id, pixels)
    if media != JSON:
        return await writer.write(result, media)
    about: dict[str, object] = {"polish_steps": steps}
    if options.quality:
        # The device and a worker thread work concurrently; neither waits for the other.
        about["face"], about["quality"] = await gather(
            partial(describe_face, context, crop),
            partial(compare, context, crop, pixels),
        )
    else:
        about["face"] = await describe_face(context, crop)
    return await writer.write(result, media, EmbedAnswer, **about)
