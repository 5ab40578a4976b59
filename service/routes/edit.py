"""POST /morph, /colorize, /edit and /generate: codes and photos in, other faces out."""

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from model_core.latents.editing import colorize as colorize_ws
from model_core.latents.editing import interpolate, move
from model_core.latents.editing import morph as morph_ws
from model_core.latents.latent import Latent
from model_core.shapes import Pixels, Ws
from service.directions import combined_step
from service.errors import InvalidRequestError
from service.handlers.body import read_request
from service.handlers.context import RequestContext, missing
from service.handlers.faces import resolve_code, resolve_source
from service.handlers.image_response import render, write_image
from service.handlers.runtime import Shared
from service.handlers.writer import Writer
from service.openapi import CODE_ERRORS, DEVICE_ERRORS, PHOTO_ERRORS, describe
from service.serving.concurrency import gather
from service.wire.json_bodies import ColorizeBody, EditBody, GenerateBody, MorphBody
from service.wire.negotiation import ANIMATIONS, CODES, IMAGES, JSON, negotiate
from service.wire.options import (
    ANIMATION_STEPS,
    PSI,
    ColorizeOptions,
    EditOptions,
    GenerateOptions,
    MorphOptions,
)
from service.wire.provenance import GENERATED
from service.wire.schemas import CodeAnswer, Frame, FramesAnswer
from service.wire.sources import PhotoSource

IMAGE_OFFERS = (JSON, *IMAGES, *CODES)
FRAME_OFFERS = (JSON, *ANIMATIONS)
ERRORS = PHOTO_ERRORS + CODE_ERRORS + DEVICE_ERRORS
SOURCES = ("image", "code", "latent_id")
Ends = tuple[Latent, Latent]
router = APIRouter(tags=["edit"])


@router.post(
    "/morph",
    summary="Blend two faces",
    **describe(
        MorphBody,
        SOURCES,
        (*IMAGE_OFFERS, "image/gif"),
        (CodeAnswer, FramesAnswer),
        ERRORS,
        photos=2,
        twice=True,
    ),
)
async def morph(request: Request, runtime: Shared) -> Response:
    """Blend two photos, codes or latent ids: an image for `lam`, frames or animation for `steps`.

    In a form, the two are fields named `image`, `code` or `latent_id`, in the order they are sent.
    """
    negotiate(request, (*IMAGE_OFFERS, "image/gif"))
    context = await read_request(request, runtime, MorphOptions, MorphBody, SOURCES)
    options = context.options
    if len(context.sources) != 2:
        raise missing("image", f"sources must be two, got {len(context.sources)}")
    media = negotiate(request, _morph_offers(options))
    steps = options.steps
    if steps is None and options.lam is None and media not in IMAGE_OFFERS:
        steps = ANIMATION_STEPS
    if steps is not None:
        with runtime.animations.enter():
            ends = await _ends(context)
            async with runtime.animations.turn:
                return await _frames(context, ends, steps, media)
    first, second = await _ends(context)
    lam = 0.5 if options.lam is None else options.lam
    rows = (options.first_row, options.last_row)
    ws = morph_ws(first.ws[None], second.ws[None], lam, *rows)[0]
    return await write_image(context, await _between(context, (first, second), lam, ws), media)


@router.post(
    "/colorize",
    summary="Give one face the colours of another",
    **describe(ColorizeBody, ("gray", "color"), IMAGE_OFFERS, (CodeAnswer,), ERRORS, photos=2),
)
async def colorize(request: Request, runtime: Shared) -> Response:
    """Replace the fine rows of the grey photo's code with those of the colour photo's."""
    media = negotiate(request, IMAGE_OFFERS)
    fields = ("gray", "color")
    context = await read_request(request, runtime, ColorizeOptions, ColorizeBody, fields)
    options = context.options
    grey_source, color_source = context.only(*fields)
    crop_px = context.loaded.predictor.img_resolution if options.keep_luminance else None
    grey, color = await gather(
        partial(resolve_source, context, grey_source, crop_px),
        partial(resolve_source, context, color_source),
    )
    codes = (grey.latent.ws[None], color.latent.ws[None])
    ws = colorize_ws(*codes, options.first_row, options.strength)[0]
    luminance = grey if options.keep_luminance else None
    return await write_image(context, grey.latent.moved_to(ws), media, luminance)


@router.post(
    "/edit",
    summary="Change attributes of a face",
    **describe(EditBody, SOURCES, IMAGE_OFFERS, (CodeAnswer,), ERRORS, photos=1, raw=True),
)
async def edit(request: Request, runtime: Shared) -> Response:
    """Move the code of a photo, a code or a latent id along one direction or several.

    GET /directions lists them, with their units and safe ranges.
    """
    media = negotiate(request, IMAGE_OFFERS)
    context = await read_request(request, runtime, EditOptions, EditBody, SOURCES, raw="image")
    if len(context.sources) != 1:
        raise InvalidRequestError(
            f"request must have exactly one of {', '.join(SOURCES)}, got {len(context.sources)}"
        )
    step = combined_step(context.loaded.directions, context.options)
    ((_, source),) = context.sources
    face = await resolve_source(context, source)
    latent = face.latent
    ws = move(latent.ws[None], step, 1.0)[0]
    return await write_image(context, latent.moved_to(ws), media)


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


def _morph_offers(options: MorphOptions) -> tuple[str, ...]:
    """Return the media types of one face, of frames, or of either where nothing is said."""
    if options.steps is not None:
        return FRAME_OFFERS
    return IMAGE_OFFERS if options.lam is not None else (*IMAGE_OFFERS, "image/gif")


async def _ends(context: RequestContext[MorphOptions]) -> Ends:
    """Find the two latents of a morph."""
    first, second = await gather(
        *(partial(resolve_source, context, source) for _, source in context.sources)
    )
    return first.latent, second.latent


async def _between(context: RequestContext[MorphOptions], ends: Ends, lam: float, ws: Ws) -> Latent:
    """Give a blended code its detail: from both ends if all rows are blended, else the second."""
    first, second = ends
    if first.detail is None and second.detail is None:
        return Latent(ws)
    options = context.options
    if options.first_row or options.last_row not in (None, len(ws) - 1):
        return second.moved_to(ws)
    answer = await context.runtime.engine.blend(first, second, lam, ws, context.deadline_s)
    return context.timings.take("blend", answer)


async def _frame(context: RequestContext[MorphOptions], ends: Ends, lam: float, ws: Ws) -> Pixels:
    """Render one step of a morph."""
    return await render(context, await _between(context, ends, lam, ws))


async def _frames(
    context: RequestContext[MorphOptions], ends: Ends, steps: int, media: str
) -> Response:
    """Answer the steps from the first code to the second, rendered in batches."""
    writer, options = Writer(context), context.options
    lams = [1 - step / (steps - 1) for step in range(steps)]
    rows = (options.first_row, options.last_row)
    codes = list(interpolate(ends[0].ws[None], ends[1].ws[None], steps, *rows)[:, 0])
    images: list[Pixels | None] = [None] * steps
    if writer.wants_image(media):
        rendered: list[Pixels] = []
        batch = context.runtime.settings.max_batch
        for start in range(0, steps, batch):
            part = list(zip(lams, codes, strict=True))[start : start + batch]
            rendered += await gather(*(partial(_frame, context, ends, *each) for each in part))
        if media != JSON:
            if options.there_and_back:
                rendered += rendered[-2:0:-1]
            return await writer.write_animation(rendered, options.frame_ms, media)
        images = [*rendered]

    def make() -> FramesAnswer:
        with context.timings.measure("output"):
            frames = [
                Frame(
                    lam=round(lam, 6),
                    code=writer.code_object(ws),
                    image=writer.image_object(pixels, GENERATED),
                )
                for lam, ws, pixels in zip(lams, codes, images, strict=True)
            ]
        return FramesAnswer(frames=frames, timings_ms=context.timings.as_ms())

    return await writer.write_json(make)
