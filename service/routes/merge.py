"""POST /merge: the identity of one face with the attributes of another."""

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from model_core.latents.latent import Latent
from service.handlers.body import read_request
from service.handlers.context import missing
from service.handlers.faces import crop_face
from service.handlers.image_response import write_image
from service.handlers.runtime import Shared
from service.openapi import DEVICE_ERRORS, PHOTO_ERRORS, describe
from service.serving.concurrency import gather
from service.wire.json_bodies import MergeBody
from service.wire.negotiation import CODES, IMAGES, JSON, negotiate
from service.wire.options import PhotoOptions
from service.wire.schemas import CodeAnswer
from service.wire.sources import PhotoSource

OFFERS = (JSON, *IMAGES, *CODES)
FIELDS = ("identity", "attribute")
router = APIRouter(tags=["edit"])


@router.post(
    "/merge",
    summary="Merge one face's identity with another's attributes",
    **describe(MergeBody, FIELDS, OFFERS, (CodeAnswer,), PHOTO_ERRORS + DEVICE_ERRORS, photos=2),
)
async def merge(request: Request, runtime: Shared) -> Response:
    """Embed the face of `identity` with the pose, hair and light of `attribute`: two photos."""
    media = negotiate(request, OFFERS)
    context = await read_request(request, runtime, PhotoOptions, MergeBody, FIELDS)
    photos = []
    for name, source in zip(FIELDS, context.only(*FIELDS), strict=True):
        if not isinstance(source, PhotoSource):
            raise missing(name, f"{name} must be a photo, got a code: /morph blends codes")
        photos.append(source)
    identity, attribute = await gather(*(partial(crop_face, context, photo) for photo in photos))
    answer = await runtime.engine.merge(identity.input, attribute.input, context.deadline_s)
    return await write_image(context, Latent(context.timings.take("merge", answer)), media)
