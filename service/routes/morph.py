"""POST /morph: two people blended, or frames from person to person."""

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from model_core.latents.latent import Latent
from model_core.latents.morphing import MorphStep, Rows, morph_steps, without_blending
from model_core.output.encoding import shrink
from model_core.output.provenance import GENERATED
from model_core.shapes import Pixels
from service.handlers.body import read_request
from service.handlers.context import RequestContext, missing
from service.handlers.image_response import render, write_image
from service.handlers.latents import resolve_source
from service.handlers.runtime import Shared
from service.handlers.writer import Writer
from service.openapi import CODE_ERRORS, DEVICE_ERRORS, MANY, PHOTO_ERRORS, describe
from service.serving.concurrency import gather
from service.wire.json_bodies import MorphBody
from service.wire.negotiation import ANIMATIONS, CODES, IMAGES, JSON, negotiate
from service.wire.options import ANIMATION_STEPS, MorphOptions
from service.wire.schemas import CodeAnswer, Frame, FramesAnswer

IMAGE_OFFERS = (JSON, *IMAGES, *CODES)
FRAME_OFFERS = (JSON, *ANIMATIONS)
SOURCES = ("image", "code", "latent_id")
router = APIRouter(tags=["edit"])


@router.post(
    "/morph",
    summary="Blend two faces, or go from face to face",
    **describe(
        MorphBody,
        SOURCES,
        (*IMAGE_OFFERS, "image/gif"),
        (CodeAnswer, FramesAnswer),
        PHOTO_ERRORS + CODE_ERRORS + DEVICE_ERRORS,
        photos=MANY,
    ),
)
async def morph(request: Request, runtime: Shared) -> Response:
    """Blend two photos, codes or latent ids for `lam`, or go from the first to the last in `steps`.

    In a form, they are fields named `image`, `code` or `latent_id`, in the order they are sent.
    """
    negotiate(request, (*IMAGE_OFFERS, "image/gif"))
    context = await read_request(request, runtime, MorphOptions, MorphBody, SOURCES)
    options, count = context.options, len(context.sources)
    if not 2 <= count <= runtime.settings.max_images:
        rule = f"2 to {runtime.settings.max_images}"
        raise missing("image", f"sources must be {rule} photos, codes or latent ids, got {count}")
    if count > 2 and options.lam is not None:
        raise missing("lam", f"lam must be omitted with {count} sources: give steps")
    if options.steps is not None and options.steps < count:
        raise missing("steps", f"steps must be at least {count}, one a source, got {options.steps}")
    media = negotiate(request, _offers(options, count))
    steps = options.steps
    if steps is None and (count > 2 or (options.lam is None and media not in IMAGE_OFFERS)):
        steps = max(ANIMATION_STEPS, count)
    if steps is not None:
        with runtime.animations.enter():
            people = await _people(context)
            async with runtime.animations.turn:
                return await _frames(context, people, steps, media)
    people = await _people(context)
    lam = 0.5 if options.lam is None else options.lam
    step = MorphStep(0, lam, _rows(context).blend(people[0], people[1], lam))
    return await write_image(context, await _latent(context, people, step), media)


def _offers(options: MorphOptions, count: int) -> tuple[str, ...]:
    """Return the media types of one face, of frames, or of either where nothing is said."""
    if options.steps is not None or count > 2:
        return FRAME_OFFERS
    return IMAGE_OFFERS if options.lam is not None else (*IMAGE_OFFERS, "image/gif")


async def _people(context: RequestContext[MorphOptions]) -> list[Latent]:
    """Find the latents of a morph, in order."""
    found = await gather(
        *(partial(resolve_source, context, source) for _, source in context.sources)
    )
    return [each.latent for each in found]


def _rows(context: RequestContext[MorphOptions]) -> Rows:
    """Return the rows to blend."""
    return Rows(context.options.first_row, context.options.last_row)


async def _latent(
    context: RequestContext[MorphOptions], people: list[Latent], step: MorphStep
) -> Latent:
    """Give a blended code its detail."""
    pair = people[step.first], people[step.first + 1]
    plain = without_blending(*pair, step.ws, _rows(context))
    if plain is not None:
        return plain
    engine, deadline_s = context.runtime.engine, context.deadline_s
    return context.timings.take("blend", await engine.blend(*pair, step.lam, step.ws, deadline_s))


async def _frame(
    context: RequestContext[MorphOptions], people: list[Latent], step: MorphStep
) -> Pixels:
    """Render one step of a morph."""
    return await render(context, await _latent(context, people, step))


async def _frames(
    context: RequestContext[MorphOptions], people: list[Latent], count: int, media: str
) -> Response:
    """Answer the steps from the first person to the last, rendered in batches."""
    writer, options = Writer(context), context.options
    steps = list(morph_steps(people, count, _rows(context)))
    images: list[Pixels | None] = [None] * count
    if writer.wants_image(media):
        rendered: list[Pixels] = []
        batch = context.runtime.settings.max_batch
        for start in range(0, count, batch):
            part = steps[start : start + batch]
            rendered += await gather(*(partial(_frame, context, people, step) for step in part))
        if media != JSON:
            if options.there_and_back:
                rendered += rendered[-2:0:-1]
            return await writer.write_animation(rendered, options.frame_ms, media)
        images = [shrink(pixels, options.size) for pixels in rendered]

    def make() -> FramesAnswer:
        with context.timings.measure("output"):
            frames = [
                Frame(
                    lam=round(step.lam, 6),
                    first=step.first,
                    code=writer.code_object(step.ws),
                    image=writer.image_object(pixels, GENERATED),
                )
                for step, pixels in zip(steps, images, strict=True)
            ]
        return FramesAnswer(frames=frames, timings_ms=context.timings.as_ms())

    return await writer.write_json(make)
