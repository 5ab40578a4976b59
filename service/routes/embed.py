"""POST /embed: a photo in, its W+ code or its reconstruction out."""

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from model_core.shapes import Pixels
from service.handlers.body import missing, read_call
from service.handlers.faces import FaceCrop, describe_face, embed_photo
from service.handlers.runtime import Runtime, Shared
from service.handlers.writer import Result, Writer
from service.openapi import DEVICE_ERRORS, PHOTO_ERRORS, describe
from service.serving.concurrency import gather
from service.serving.timings import Stages
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
    """Find the face, compute its W+ code, render it and say how near the rendering comes."""
    media = negotiate(request, OFFERS)
    call = await read_call(request, runtime, EmbedOptions, EmbedBody, ("image",), raw="image")
    stages = runtime.stages(request, "embed")
    (source,) = call.only("image")
    if not isinstance(source, PhotoSource):
        raise missing("image", "image must be a photo, got a code: /generate renders codes")
    counted = media == JSON  # no other answer says how many faces there are
    ws, crop = await embed_photo(source, runtime, stages, call.options, counted=counted)
    steps = 0
    if call.options.budget_ms:
        budget_s = call.options.budget_ms / 1000
        improved = await runtime.engine.polish(crop.input, ws, budget_s, stages.deadline_s)
        polished = stages.take("polish", improved)
        ws, steps = polished.ws[0], polished.steps
    writer = Writer(runtime, stages, call.options)
    if media in CODES:
        latent_id = await writer.keep(ws, call.owner)
        return await writer.write(Result(ws, latent_id, None), media)
    answer = await runtime.engine.synthesize(ws, stages.deadline_s)
    pixels = stages.take("synthesize", answer)
    latent_id = await writer.keep(ws, call.owner)
    result = Result(ws, latent_id, pixels)
    if media != JSON:
        return await writer.write(result, media)
    # Two kinds of work, on the device and on a worker thread: neither waits for the other.
    face, quality = await gather(
        partial(describe_face, crop, runtime, stages),
        partial(_quality, runtime, stages, crop, pixels),
    )
    about = {"face": face, "quality": quality, "polish_steps": steps}
    return await writer.write(result, media, EmbedAnswer, **about)


async def _quality(
    runtime: Runtime, stages: Stages, crop: FaceCrop, pixels: Pixels
) -> QualityObject:
    """Compare the reconstruction with what the network saw."""
    answer = await runtime.engine.quality(crop.input, pixels, stages.deadline_s)
    quality = stages.take("quality", answer)
    return QualityObject(
        psnr=quality.psnr,
        ssim=quality.ssim,
        lpips=quality.lpips,
        lpips_net=quality.lpips_net,
        identity_similarity=quality.identity_similarity,
        refine_recommended=quality.lpips > REFINE_ABOVE_LPIPS,
    )
