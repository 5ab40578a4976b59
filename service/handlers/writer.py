"""Results as responses: JSON, images, animations and code files, written on worker threads."""

import base64
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import BaseModel
from starlette.responses import Response

from model_core.latents.latent import Latent
from model_core.output.encoding import (
    MEDIA_TYPES,
    Format,
    encode_gif,
    encode_image,
    encode_webp_animation,
    shrink,
)
from model_core.output.input_marks import read_marks, xmp_after
from model_core.output.provenance import COMPOSITE, GENERATED, xmp_packet
from model_core.shapes import Pixels, Ws
from service.handlers.context import RequestContext
from service.wire.codes import write_code, write_npy, write_safetensors
from service.wire.negotiation import JSON, NPY, SAFETENSORS
from service.wire.options import Options, OutputOptions
from service.wire.schemas import CodeAnswer, CodeObject, ImageObject

Answered = TypeVar("Answered", bound=CodeAnswer)

PROVENANCE_HEADER = {"X-Content-Provenance": "ai-generated"}


@dataclass(frozen=True, slots=True)
class Result:
    """What an operation produced.

    Attributes:
        latent: The code, with the detail that it is rendered with.
        latent_id: Its id for later calls; None if it is not kept.
        pixels: Its image; None if not wanted.
        source_type: The digital source type in the image's provenance mark.
        is_photo: Whether the image is a whole photo, which keeps its size, and not a face.
        photo: File of the photo whose pixels a composite shows: its AI marks are kept.
    """

    latent: Latent
    latent_id: str | None
    pixels: Pixels | None
    source_type: str = GENERATED
    is_photo: bool = False
    photo: bytes | None = None


async def json_response(
    context: RequestContext[Options], make: Callable[[], BaseModel], *, signs: bool = False
) -> Response:
    """Answer with the model that `make` builds on a worker thread; `signs` if it signs images."""

    def dump() -> bytes:
        return make().model_dump_json(exclude_none=True).encode()

    runtime = context.runtime
    run = runtime.in_signing_worker if signs else runtime.in_worker
    return Response(await run(dump), media_type=JSON)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes results in the form that a request asks for.

    Attributes:
        context: The request; its timings record the writing as `output`.
    """

    context: RequestContext[OutputOptions]

    @property
    def _options(self) -> OutputOptions:
        return self.context.options

    async def write(
        self,
        result: Result,
        media: str,
        model: type[CodeAnswer] = CodeAnswer,
        **members: Any,
    ) -> Response:
        """Answer one result as `media`; `members` fill the fields that `model` adds to its base."""
        if media == JSON:
            return await self.write_json(lambda: self.answer(result, model, members))
        headers = {"X-Generator-Fingerprint": self.context.loaded.generator.fingerprint}
        if result.latent_id is not None:
            headers["X-Latent-Id"] = result.latent_id
        return await self._respond(lambda: self._file(result, media), media, headers)

    async def keep(self, latent: Latent) -> str | None:
        """Keep the latent under an id for the caller, unless the caller set no_store."""
        context = self.context
        if context.options.no_store:
            return None
        return await context.runtime.latents.put(latent, context.owner)

    def wants_image(self, media: str) -> bool:
        """Whether an answer as `media` carries an image."""
        return media.startswith("image/") or (media == JSON and self._options.wanted != "code")

    async def write_json(self, make: Callable[[], BaseModel]) -> Response:
        """Answer with the model that `make` builds on a worker thread."""
        return await json_response(self.context, make, signs=self.wants_image(JSON))

    async def write_frame(self, pixels: Pixels, media: str) -> Response:
        """Answer a frame of a film, of which only a face has been edited."""

        def encode() -> bytes:
            return self._image(pixels, MEDIA_TYPES[media], COMPOSITE)

        return await self._respond(encode, media, {})

    async def write_animation(self, frames: list[Pixels], frame_ms: int, media: str) -> Response:
        """Answer frames as an animation."""

        def encode() -> bytes:
            xmp = xmp_packet(GENERATED, self._version)
            shown = [shrink(frame, self._options.size) for frame in frames]
            if media == "image/gif":
                data = encode_gif(shown, frame_ms, xmp)
            else:
                quality = self._options.image_quality
                data = encode_webp_animation(shown, frame_ms, quality, xmp)
            return self._signed(data, media, GENERATED)

        return await self._respond(encode, media, {})

    def code_object(self, ws: Ws) -> CodeObject | None:
        """Write a code, if wanted."""
        if self._options.wanted == "image":
            return None
        return CodeObject.model_construct(
            **write_code(ws, self.context.loaded.generator, self._options.encoding)
        )

    def image_object(
        self, pixels: Pixels | None, source_type: str, photo: bytes | None = None
    ) -> ImageObject | None:
        """Write an image, if wanted; `photo` as in `Result`."""
        if self._options.wanted == "code" or pixels is None:
            return None
        data = self._image(pixels, self._options.form, source_type, photo)
        height, width, _ = pixels.shape
        return ImageObject(
            media_type=f"image/{self._options.form}",
            width=width,
            height=height,
            data=base64.b64encode(data).decode(),
        )

    async def _respond(
        self, encode: Callable[[], bytes], media: str, headers: dict[str, str]
    ) -> Response:
        def timed() -> bytes:
            with self.context.timings.measure("output"):
                return encode()

        is_image, runtime = media.startswith("image/"), self.context.runtime
        content = await (runtime.in_signing_worker if is_image else runtime.in_worker)(timed)
        if is_image:
            headers = headers | PROVENANCE_HEADER
        headers = headers | {"Server-Timing": self.context.timings.as_header()}
        return Response(content, headers=headers, media_type=media)

    def answer(self, result: Result, model: type[Answered], members: dict[str, Any]) -> Answered:
        """Build a JSON answer; blocks while the image is encoded."""
        with self.context.timings.measure("output"):
            code = self.code_object(result.latent.ws)
            image = self.image_object(self._shown(result), result.source_type, result.photo)
        return model(
            latent_id=result.latent_id,
            detail=result.latent.detail is not None,
            code=code,
            image=image,
            timings_ms=self.context.timings.as_ms(),
            **members,
        )

    def _file(self, result: Result, media: str) -> bytes:
        if media == NPY:
            return write_npy(result.latent.ws)
        if media == SAFETENSORS:
            return write_safetensors(result.latent, self.context.loaded.generator)
        pixels = cast(Pixels, self._shown(result))  # present, because `media` is an image
        return self._image(pixels, MEDIA_TYPES[media], result.source_type, result.photo)

    def _shown(self, result: Result) -> Pixels | None:
        """Return the image at the size that is wanted."""
        if result.pixels is None or result.is_photo:
            return result.pixels
        return shrink(result.pixels, self._options.size)

    def _image(
        self, pixels: Pixels, form: Format, source_type: str, photo: bytes | None = None
    ) -> bytes:
        marks = None if photo is None else read_marks(photo)
        source_type, xmp = xmp_after(source_type, self._version, marks)
        data = encode_image(pixels, form, self._options.image_quality, xmp)
        return self._signed(data, f"image/{form}", source_type, photo)

    def _signed(
        self, data: bytes, media: str, source_type: str, photo: bytes | None = None
    ) -> bytes:
        """Sign a file, if a certificate is configured."""
        signer, deadline_s = self.context.runtime.signer, self.context.deadline_s
        if signer is None:
            return data
        # asyncio's loop counts by the monotonic clock too.
        left_s = math.inf if deadline_s is None else deadline_s - time.monotonic()
        return signer.sign(data, media, source_type, photo, left_s)

    @property
    def _version(self) -> str:
        """Version of the service and name of the generator, for marks."""
        return f"{self.context.runtime.version} ({self.context.loaded.generator.name})"
