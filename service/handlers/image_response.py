"""One code as a response, with its image if wanted."""

from starlette.responses import Response

from model_core.compositing.luminance import with_luminance
from model_core.latents.latent import Latent
from model_core.output.provenance import COMPOSITE, GENERATED
from model_core.shapes import Pixels
from service.handlers.context import RequestContext
from service.handlers.latents import ResolvedSource
from service.handlers.writer import Result, Writer
from service.wire.options import Options, OutputOptions


async def render(context: RequestContext[Options], latent: Latent) -> Pixels:
    """Render a latent."""
    answer = await context.runtime.engine.synthesize(latent, context.deadline_s)
    return context.timings.take("synthesize", answer)


async def write_image(
    context: RequestContext[OutputOptions],
    latent: Latent,
    media: str,
    luminance: ResolvedSource | None = None,
    photo: bytes | None = None,
) -> Response:
    """Answer one latent; its image, if wanted, may take the luminance of another face.

    Args:
        context: The request.
        latent: What to render.
        media: Media type of the answer.
        luminance: The face whose luminance the image takes; None for its own.
        photo: File of the photo that this face was cropped from, if it was.
    """
    writer = Writer(context)
    pixels, source_type, shown = None, GENERATED, None
    if writer.wants_image(media):
        pixels = await render(context, latent)
        if luminance is not None:
            crop = luminance.face.crop if luminance.face else None
            source_type = GENERATED if crop is None else COMPOSITE
            shown = None if crop is None else photo
            if crop is None:
                crop = await render(context, luminance.latent)
            pixels = await context.runtime.in_worker(with_luminance, pixels, crop)
    latent_id = await writer.keep(latent)
    return await writer.write(Result(latent, latent_id, pixels, source_type, photo=shown), media)
