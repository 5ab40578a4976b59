"""POST /merge: the identity of one face with the attributes of another."""

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from model_core.latents.latent import Latent
from service.handlers.body import read_request
from service.handlers.context import RequestContext, missing
from service.handlers.faces import FaceCrop, crop_face
from service.handlers.image_response import write_image
from service.handlers.latents import embed_face
from service.handlers.runtime import Shared
from service.handlers.whole_photo import Change, check_output, write_whole_photo
from service.openapi import DEVICE_ERRORS, PHOTO_ERRORS, describe
from service.serving.concurrency import gather
from service.wire.json_bodies import MergeBody
from service.wire.negotiation import CODES, IMAGES, JSON, negotiate
from service.wire.options import MergeOptions
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
    """Embed the face of `identity` with the pose, hair and light of `attribute`: two photos.

    With output=photo, `face` chooses in the photo of `attribute`, which is answered; that of
    `identity` gives its largest face.
    """
    media = negotiate(request, OFFERS)
    context = await read_request(request, runtime, MergeOptions, MergeBody, FIELDS)
    photos = []
    for name, source in zip(FIELDS, context.only(*FIELDS), strict=True):
        if not isinstance(source, PhotoSource):
            raise missing(name, f"{name} must be a photo, got a code: /morph blends codes")
        photos.append(source)
    if context.options.output == "photo":
        return await _merge_photo(context, photos[0], photos[1], media)
    identity, attribute = await gather(*(partial(crop_face, context, photo) for photo in photos))
    answer = await runtime.engine.merge(identity.input, attribute.input, context.deadline_s)
    return await write_image(context, Latent(context.timings.take("merge", answer)), media)


async def _merge_photo(
    context: RequestContext[MergeOptions],
    identity: PhotoSource,
    attribute: PhotoSource,
    media: str,
) -> Response:
    """Answer the photo of `attribute` whose faces have the identity of the other."""
    check_output(context, media)
    other, engine = await crop_face(context, identity), context.runtime.engine

    async def change(face: FaceCrop) -> Change:
        answer = await engine.merge(other.input, face.input, context.deadline_s)
        merged = Latent(context.timings.take("merge", answer))
        if context.options.blend != "transfer":
            return Change(merged)
        return Change(merged, Latent(await embed_face(context, face)))

    return await write_whole_photo(context, attribute, media, change)
