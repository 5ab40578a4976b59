"""POST /quality: how close a code comes to a photo."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.handlers.body import read_request
from service.handlers.context import missing
from service.handlers.faces import crop_face
from service.handlers.image_response import render
from service.handlers.latents import resolve_code
from service.handlers.quality import compare
from service.handlers.runtime import Shared
from service.handlers.writer import json_response
from service.openapi import CODE_ERRORS, DEVICE_ERRORS, PHOTO_ERRORS, describe
from service.wire.json_bodies import QualityBody
from service.wire.negotiation import JSON, negotiate
from service.wire.options import QualityOptions
from service.wire.schemas import QualityAnswer
from service.wire.sources import PhotoSource

FIELDS = ("image", "code", "latent_id")
router = APIRouter(tags=["embed"])


@router.post(
    "/quality",
    summary="Measure how close a code comes to a photo",
    **describe(
        QualityBody,
        FIELDS,
        (JSON,),
        (QualityAnswer,),
        PHOTO_ERRORS + CODE_ERRORS + DEVICE_ERRORS,
        photos=1,
    ),
)
async def measure_quality(request: Request, runtime: Shared) -> Response:
    """Render a code or a latent id and compare it with the face in a photo, as /embed does."""
    negotiate(request, (JSON,))
    context = await read_request(request, runtime, QualityOptions, QualityBody, FIELDS)
    (photo,) = context.only("image")
    codes = [source for name, source in context.sources if name != "image"]
    if not isinstance(photo, PhotoSource):
        raise missing("image", "image must be a photo, got a code")
    if len(codes) != 1 or isinstance(codes[0], PhotoSource):
        raise missing("code", f"request must have one code or latent_id, got {len(codes)}")
    latent = await resolve_code(context, codes[0])
    crop = await crop_face(context, photo)
    figures = await compare(context, crop, await render(context, latent))
    return await json_response(
        context, lambda: QualityAnswer(quality=figures, timings_ms=context.timings.as_ms())
    )
