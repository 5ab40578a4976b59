"""POST /colorize, /edit and /generate: codes and photos in, other faces out."""

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from model_core.latents.editing import colorize as colorize_ws
from model_core.latents.editing import move
from model_core.latents.latent import Latent
from service.directions import requested_step
from service.errors import InvalidRequestError
from service.handlers.body import read_request
from service.handlers.context import RequestContext, missing
from service.handlers.faces import FaceCrop
from service.handlers.image_response import write_image
from service.handlers.latents import add_detail, embed_face, resolve_code, resolve_source
from service.handlers.runtime import Shared
from service.handlers.whole_photo import Change, check_output, write_whole_photo
from service.openapi import CODE_ERRORS, DEVICE_ERRORS, PHOTO_ERRORS, describe
from service.serving.concurrency import gather
from service.wire.json_bodies import ColorizeBody, EditBody, GenerateBody
from service.wire.negotiation import CODES, IMAGES, JSON, negotiate
from service.wire.options import (
    PSI,
    ColorizeOptions,
    EditOptions,
    GenerateOptions,
    PhotoOptions,
)
from service.wire.schemas import CodeAnswer
from service.wire.sources import PhotoSource, Source

IMAGE_OFFERS = (JSON, *IMAGES, *CODES)
ERRORS = PHOTO_ERRORS + CODE_ERRORS + DEVICE_ERRORS
SOURCES = ("image", "code", "latent_id")
PHOTO = "photo"  # where the result of a code goes
router = APIRouter(tags=["edit"])


@router.post(
    "/colorize",
    summary="Give one face the colours of another",
    **describe(ColorizeBody, ("gray", "color"), IMAGE_OFFERS, (CodeAnswer,), ERRORS, photos=2),
)
async def colorize(request: Request, runtime: Shared) -> Response:
    """Replace the fine rows of the grey photo's code with those of the colour photo's.

    With output=photo, `face` chooses in the grey photo; the colour photo gives its largest face.
    """
    media = negotiate(request, IMAGE_OFFERS)
    fields = ("gray", "color")
    context = await read_request(request, runtime, ColorizeOptions, ColorizeBody, fields)
    options = context.options
    grey_source, color_source = context.only(*fields)
    if options.output == "photo":
        return await _colorize_photo(context, grey_source, color_source, media)
    crop_px = context.loaded.predictor.img_resolution if options.keep_luminance else None
    grey, color = await gather(
        partial(resolve_source, context, grey_source, crop_px),
        partial(resolve_source, context, color_source),
    )
    codes = (grey.latent.ws[None], color.latent.ws[None])
    ws = colorize_ws(*codes, options.first_row, options.strength)[0]
    luminance = grey if options.keep_luminance else None
    photo = grey_source.data if isinstance(grey_source, PhotoSource) else None
    return await write_image(context, grey.latent.moved_to(ws), media, luminance, photo)


@router.post(
    "/edit",
    summary="Change attributes of a face",
    **describe(
        EditBody, (*SOURCES, PHOTO), IMAGE_OFFERS, (CodeAnswer,), ERRORS, photos=2, raw=True
    ),
)
async def edit(request: Request, runtime: Shared) -> Response:
    """Move the code of a photo, a code or a latent id along one direction or several.

    GET /directions lists them, with their units and safe ranges. With output=photo, the result of
    a code or latent id goes into `photo`.
    """
    media = negotiate(request, IMAGE_OFFERS)
    fields = (*SOURCES, PHOTO)
    context = await read_request(request, runtime, EditOptions, EditBody, fields, raw="image")
    sources = [source for name, source in context.sources if name != PHOTO]
    if len(sources) != 1:
        raise InvalidRequestError(
            f"request must have exactly one of {', '.join(SOURCES)}, got {len(sources)}"
        )
    step = requested_step(context.loaded.directions, context.options)

    def moved(latent: Latent) -> Latent:
        return latent.moved_to(move(latent.ws[None], step, 1.0)[0])

    photo = _photo_of(context, sources[0])
    if photo is not None:
        return await _edit_photo(context, photo, sources[0], moved, media)
    face = await resolve_source(context, sources[0])
    return await write_image(context, moved(face.latent), media)


@router.post(
    "/generate",
    summary="Render a code or a random face",
    **describe(
        GenerateBody,
        ("code", "latent_id"),
        IMAGE_OFFERS,
        (CodeAnswer,),
        CODE_ERRORS + DEVICE_ERRORS,
        photos=0,
        raw=True,
    ),
)
async def generate(request: Request, runtime: Shared) -> Response:
    """Render a code or a latent id, or a face drawn from `seed` and `psi`."""
    media = negotiate(request, IMAGE_OFFERS)
    fields = ("code", "latent_id")
    context = await read_request(
        request, runtime, GenerateOptions, GenerateBody, fields, raw="code"
    )
    seed = context.options.seed
    if len(context.sources) + (seed is not None) != 1:
        raise InvalidRequestError("request must have exactly one of seed, code, latent_id")
    if seed is not None:
        psi = PSI if context.options.psi is None else context.options.psi
        answer = await runtime.engine.sample(seed, psi, context.deadline_s)
        latent = Latent(context.timings.take("sample", answer))
    else:
        ((name, source),) = context.sources
        if isinstance(source, PhotoSource):
            raise missing(name, f"{name} must be a code, got a photo: /embed takes photos")
        latent = await resolve_code(context, source)
    return await write_image(context, latent, media)


async def _own(context: RequestContext[PhotoOptions], face: FaceCrop) -> Latent:
    """Embed a face with its detail."""
    return await add_detail(context, face, await embed_face(context, face))


def _photo_of(context: RequestContext[EditOptions], source: Source) -> PhotoSource | None:
    """Return the photo that the answer shows whole; None with output=face."""
    given = [photo for name, photo in context.sources if name == PHOTO]
    if context.options.output == "face":
        if given:
            raise missing(PHOTO, "photo must be omitted unless output is photo, got one")
        return None
    if isinstance(source, PhotoSource):
        if given:
            raise missing(PHOTO, "photo must be omitted when image is a photo: that is answered")
        return source
    if len(given) != 1 or not isinstance(given[0], PhotoSource):
        raise missing(
            PHOTO, "photo must be given once with a code and output=photo: the result goes into it"
        )
    if not isinstance(context.options.face, int):
        raise missing("face", "face must be one number with a code, which is one face")
    return given[0]


async def _edit_photo(
    context: RequestContext[EditOptions],
    photo: PhotoSource,
    source: Source,
    moved: Callable[[Latent], Latent],
    media: str,
) -> Response:
    """Answer a photo whose faces have been moved along the direction."""
    check_output(context, media)
    known = None if isinstance(source, PhotoSource) else await resolve_code(context, source)

    async def change(face: FaceCrop) -> Change:
        if known is not None and context.options.blend == "render":
            return Change(moved(known))
        own = await _own(context, face)
        return Change(moved(own if known is None else known), own)

    return await write_whole_photo(context, photo, media, change)


async def _colorize_photo(
    context: RequestContext[ColorizeOptions], grey: Source, color: Source, media: str
) -> Response:
    """Answer the grey photo whose faces have the colours of the other."""
    check_output(context, media)
    if not isinstance(grey, PhotoSource):
        raise missing("gray", "gray must be a photo with output=photo, got a code")
    options = context.options
    if options.keep_luminance and options.blend == "render":
        raise missing("blend", "blend must be auto or transfer with keep_luminance, got render")
    colors = (await resolve_source(context, color)).latent.ws[None]

    async def change(face: FaceCrop) -> Change:
        own = await _own(context, face)
        ws = colorize_ws(own.ws[None], colors, options.first_row, options.strength)[0]
        return Change(own.moved_to(ws), own, options.keep_luminance)

    return await write_whole_photo(context, grey, media, change)
