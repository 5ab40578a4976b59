"""POST /morph: two people blended, or frames from person to person."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from model_core.latents.editing import morph as morph_ws
from model_core.latents.latent import Latent
from model_core.shapes import Pixels, Ws
from service.handlers.body import read_request
from service.handlers.context import RequestContext, missing
from service.handlers.image_response import render, write_image
from service.handlers.latents import resolve_source
from service.handlers.runtime import Shared
from service.handlers.writer import Writer
from service.openapi import CODE_ERRORS, DEVICE_ERRORS, MANY, PHOTO_ERRORS, describe
from service.serving.concurrency import gather
from service.wire.image_encoding import shrink
from service.wire.json_bodies import MorphBody
from service.wire.negotiation import ANIMATIONS, CODES, IMAGES, JSON, negotiate
from service.wire.options import ANIMATION_STEPS, MorphOptions
from service.wire.provenance import GENERATED
from service.wire.schemas import CodeAnswer, Frame, FramesAnswer

IMAGE_OFFERS = (JSON, *IMAGES, *CODES)
FRAME_OFFERS = (JSON, *ANIMATIONS)
SOURCES = ("image", "code", "latent_id")
router = APIRouter(tags=["edit"])


@dataclass(frozen=True, slots=True)
class _Step:
    """A frame of a morph.

    Attributes:
        first: Index of the person that is left.
        lam: Share of that person; the rest is the next one's.
        ws: The blended code.
    """

    first: int
    lam: float
    ws: Ws


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
    step = _Step(0, lam, _blend(context, people, 0, lam))
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


def _steps(
    context: RequestContext[MorphOptions], people: list[Latent], steps: int
) -> Iterator[_Step]:
    """Go from the first person to the last in equal steps, both included."""
    legs = len(people) - 1
    for step in range(steps):
        # Whole numbers, so that rounding never misses a person on the way.
        first, rest = divmod(step * legs, steps - 1)
        if first == legs:
            first, rest = legs - 1, steps - 1
        lam = 1 - rest / (steps - 1)
        yield _Step(first, lam, _blend(context, people, first, lam))


def _blend(
    context: RequestContext[MorphOptions], people: list[Latent], first: int, lam: float
) -> Ws:
    """Blend the codes of a person and the next."""
    a, b = people[first].ws[None], people[first + 1].ws[None]
    return morph_ws(a, b, lam, context.options.first_row, context.options.last_row)[0]


async def _latent(
    context: RequestContext[MorphOptions], people: list[Latent], step: _Step
) -> Latent:
    """Give a blended code its detail: from both people if all rows are blended, else the second."""
    first, second = people[step.first], people[step.first + 1]
    if first.detail is None and second.detail is None:
        return Latent(step.ws)
    options = context.options
    if options.first_row or options.last_row not in (None, len(step.ws) - 1):
        return second.moved_to(step.ws)
    engine, deadline_s = context.runtime.engine, context.deadline_s
    return context.timings.take(
        "blend", await engine.blend(first, second, step.lam, step.ws, deadline_s)
    )


async def _frame(
    context: RequestContext[MorphOptions], people: list[Latent], step: _Step
) -> Pixels:
    """Render one step of a morph."""
    return await render(context, await _latent(context, people, step))


async def _frames(
    context: RequestContext[MorphOptions], people: list[Latent], count: int, media: str
) -> Response:
    """Answer the steps from the first person to the last, rendered in batches."""
    writer, options = Writer(context), context.options
    steps = list(_steps(context, people, count))
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
