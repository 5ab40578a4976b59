"""POST /embed: a photo in, its W+ code or its reconstruction out."""

from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from model_core.latents.latent import Latent
from model_core.shapes import Pixels, SquarePixels
from service.handlers.body import read_request
from service.handlers.context import RequestContext, missing
from service.handlers.faces import FaceCrop, add_detail, crop_face, describe_face, embed_face
from service.handlers.image_response import render
from service.handlers.runtime import Shared
from service.handlers.whole_photo import Change, check_output, write_whole_photo
from service.handlers.writer import Result, Writer
from service.openapi import DEVICE_ERRORS, PHOTO_ERRORS, describe
from service.serving.concurrency import gather
from service.wire.json_bodies import EmbedBody
from service.wire.negotiation import CODES, IMAGES, JSON, negotiate
from service.wire.options import EmbedOptions
from service.wire.schemas import REFINE_ABOVE_LPIPS, EmbedAnswer, QualityObject
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
    options = context.options
    (source,) = context.only("image")
    if not isinstance(source, PhotoSource):
        raise missing("image", "image must be a photo, got a code: /generate renders codes")
    if options.output == "photo":
        return await _embed_whole(context, source, media)
    counted = media == JSON  # no other answer says how many faces there are
    crop = await crop_face(context, source, counted=counted)
    latent, steps = await _code_of(context, crop)
    writer = Writer(context)
    if media in CODES:
        latent_id = await writer.keep(latent)
        return await writer.write(Result(latent, latent_id, None), media)
    pixels = await render(context, latent)
    latent_id = await writer.keep(latent)
    result = Result(latent, latent_id, pixels)
    if media != JSON:
        return await writer.write(result, media)
    about = await _describe(context, crop, pixels)
    return await writer.write(result, media, EmbedAnswer, polish_steps=steps, **about)


async def _code_of(context: RequestContext[EmbedOptions], face: FaceCrop) -> tuple[Latent, int]:
    """Embed a face and polish its code if there is a budget; also return the steps."""
    ws, steps = await embed_face(context, face), 0
    if context.options.budget_ms:
        budget_s = context.options.budget_ms / 1000
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

    async def change(face: FaceCrop) -> Change:
        latent, steps = await _code_of(context, face)
        counts.append(steps)
        return Change(latent)

    async def about(face: FaceCrop, pixels: SquarePixels) -> dict[str, Any]:
        # The first face is the last to be changed.
        return await _describe(context, face, pixels) | {"polish_steps": counts[-1]}

    is_json = media == JSON
    return await write_whole_photo(
        context, source, media, change, EmbedAnswer, about if is_json else None, counted=is_json
    )


async def _describe(
    context: RequestContext[EmbedOptions], crop: FaceCrop, pixels: Pixels
) -> dict[str, Any]:
    """Describe the faces and measure the reconstruction."""
    # The device and a worker thread work concurrently; neither waits for the other.
    found, quality = await gather(
        partial(describe_face, context, crop),
        partial(_quality, context, crop, pixels),
    )
    face, faces = found or (None, None)
    return {"face": face, "faces": faces, "quality": quality}


async def _quality(
    context: RequestContext[EmbedOptions], crop: FaceCrop, pixels: Pixels
) -> QualityObject:
    """Compare the reconstruction with the network's input."""
    answer = await context.runtime.engine.quality(crop.input, pixels, context.deadline_s)
    quality = context.timings.take("quality", answer)
    return QualityObject(
        psnr=quality.psnr,
        ssim=quality.ssim,
        lpips=quality.lpips,
        lpips_net=quality.lpips_net,
        identity_similarity=quality.identity_similarity,
        same_person=quality.same_person,
        refine_recommended=quality.lpips > REFINE_ABOVE_LPIPS,
    )
