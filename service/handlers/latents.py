"""From a source to its latent: embed a photo, read a code, or look up a latent id."""

from dataclasses import dataclass

from model_core.latents.latent import Detail, Latent
from model_core.shapes import Ws
from service.handlers.context import RequestContext
from service.handlers.faces import FaceCrop, crop_face
from service.wire.codes import read_latent
from service.wire.options import FaceOptions, Options, OutputOptions, QualityOptions
from service.wire.sources import CodeSource, LatentSource, PhotoSource, RefusedSource, Source


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """A code and where it came from.

    Attributes:
        latent: The code, with its detail where there is one.
        face: The face that it was computed from; None if the code itself was given.
    """

    latent: Latent
    face: FaceCrop | None = None


async def resolve_source(
    context: RequestContext[FaceOptions], source: Source, crop_px: int | None = None
) -> ResolvedSource:
    """Embed a photo, read a code, or look up a latent id.

    Args:
        context: The request.
        source: One of its sources.
        crop_px: Also crop the face at this size.
    """
    if not isinstance(source, PhotoSource):
        return ResolvedSource(await resolve_code(context, source))
    face = await crop_face(context, source, crop_px)
    ws = await embed_face(context, face)
    return ResolvedSource(await add_detail(context, face, ws), face)


async def embed_face(context: RequestContext[Options], face: FaceCrop) -> Ws:
    """Embed an aligned face."""
    answer = await context.runtime.engine.embed(face.input, context.deadline_s)
    return context.timings.take("encode", answer)


async def add_detail(context: RequestContext[Options], face: FaceCrop, ws: Ws) -> Latent:
    """Encode the detail that a code leaves out of its face, if it is wanted and available."""
    if not _wants_detail(context) or context.loaded.generator.detail is None:
        return Latent(ws)
    answer = await context.runtime.engine.detail(face.input, ws, context.deadline_s)
    return Latent(ws, Detail(context.timings.take("detail", answer), ws))


async def resolve_code(
    context: RequestContext[Options], source: CodeSource | LatentSource | RefusedSource
) -> Latent:
    """Read a code, or look up a latent id."""
    if isinstance(source, RefusedSource):
        raise source.error
    runtime, with_detail = context.runtime, _wants_detail(context)
    if isinstance(source, LatentSource):
        return await runtime.latents.get(source.latent_id, context.owner, with_detail)
    return await runtime.in_worker(read_latent, source.value, context.loaded.generator, with_detail)


def _wants_detail(context: RequestContext[Options]) -> bool:
    options = context.options
    return isinstance(options, OutputOptions | QualityOptions) and options.detail
