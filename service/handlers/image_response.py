"""One code as an answer, with its image where that is wanted."""

from typing import TypeVar

from starlette.responses import Response

from model_core.shapes import Pixels, Ws
from service.handlers.body import Call
from service.handlers.faces import ResolvedSource
from service.handlers.runtime import Runtime
from service.handlers.writer import Result, Writer
from service.serving.timings import Stages
from service.wire.image_encoding import with_luminance
from service.wire.options import OutputOptions
from service.wire.provenance import COMPOSITE, GENERATED

Opts = TypeVar("Opts", bound=OutputOptions)


async def render(runtime: Runtime, stages: Stages, ws: Ws) -> Pixels:
    """Render a code."""
    return stages.take("synthesize", await runtime.engine.synthesize(ws, stages.deadline_s))


async def write_image(
    runtime: Runtime,
    stages: Stages,
    call: Call[Opts],
    ws: Ws,
    media: str,
    luminance: ResolvedSource | None = None,
) -> Response:
    """Answer one code, its image (where wanted) with the luminance of another face, if any."""
    writer = Writer(runtime, stages, call.options)
    pixels, source_type = None, GENERATED
    if writer.wants_image(media):
        pixels = await render(runtime, stages, ws)
        if luminance is not None:
            crop = luminance.face.crop if luminance.face else None
            source_type = GENERATED if crop is None else COMPOSITE
            if crop is None:
                crop = await render(runtime, stages, luminance.ws)
            pixels = await runtime.in_worker(with_luminance, pixels, crop)
    latent_id = await writer.keep(ws, call.owner)
    return await writer.write(Result(ws, latent_id, pixels, source_type), media)
