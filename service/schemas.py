"""What requests may say and what JSON answers hold.

Options may come as query parameters, form fields or members of a JSON body; an unknown one is an
error. Not every rule of a request is here: photos are judged by `images`, codes by `codes`.
"""

import base64
import binascii
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.codes import Encoding
from service.errors import InvalidRequestError
from service.outputs import Format
from service.sources import CodeSource, LatentSource, PhotoSource, Source

MAX_STEPS = 60
PSI = 0.7
REFINE_ABOVE_LPIPS = 0.2  # ten steps of the iterator from the mean code come below this

Wanted = Literal["code", "image", "both"]
Base64 = Annotated[
    str, Field(description="Base64 of the file.", json_schema_extra={"contentEncoding": "base64"})
]


class Options(BaseModel):
    """Rules that all options share."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class OutputOptions(Options):
    """How results are written."""

    wanted: Wanted = Field(
        default="both", alias="return", description="What a JSON answer carries."
    )
    encoding: Encoding = Field(default="base64", description="How JSON answers write codes.")
    form: Format = Field(
        default="jpeg", alias="format", description="Format of images in JSON answers."
    )
    image_quality: int = Field(default=95, ge=1, le=100, description="Of JPEG and WebP.")


class PhotoOptions(OutputOptions):
    """How photos are read."""

    align: Literal["auto", "none"] = Field(
        default="auto",
        description="Find the face and crop, or take a square photo as cropped already.",
    )
    face: int = Field(default=0, ge=0, le=1000, description="Which face, the largest first.")


class EmbedOptions(PhotoOptions):
    """Options of /embed."""

    wanted: Wanted = Field(
        default="code", alias="return", description="What a JSON answer carries."
    )


class MorphOptions(PhotoOptions):
    """Options of /morph."""

    lam: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of the first code; 0.5 if unset.",
    )
    steps: int | None = Field(
        default=None,
        ge=2,
        le=MAX_STEPS,
        description="Frames from the first to the second, ends included.",
    )
    frame_ms: int = Field(
        default=100, ge=20, le=5000, description="Time of a frame of an animation."
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.lam is not None and self.steps is not None:
            raise ValueError("lam must be left out where steps is given, got both")
        return self


class ColorizeOptions(PhotoOptions):
    """Options of /colorize."""

    first_row: int = Field(
        default=8, ge=0, le=17, description="First row taken from the colour code."
    )
    strength: float = Field(
        default=1.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of the colour code in those rows.",
    )
    keep_luminance: bool = Field(
        default=False, description="Take the brightness of every pixel from the grey photo itself."
    )


class GenerateOptions(OutputOptions):
    """Options of /generate."""

    seed: int | None = Field(default=None, ge=0, lt=2**32, description="Draws a code.")
    psi: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description=f"Truncation towards the mean code; only with seed, {PSI} if unset.",
    )

    @model_validator(mode="after")
    def _psi_needs_seed(self) -> Self:
        if self.psi is not None and self.seed is None:
            raise ValueError("psi must be left out where no seed is given")
        return self


class CodeObject(BaseModel):
    """A W+ code in JSON."""

    model_config = ConfigDict(extra="forbid")

    generator: str | None = Field(default=None, description="Name of the generator.")
    fingerprint: str | None = Field(default=None, description="SHA-256 of the generator's weights.")
    shape: list[int] | None = Field(default=None, examples=[[18, 512]])
    dtype: Literal["float16", "float32", "float64"] = "float32"
    encoding: Encoding = "base64"
    data: str | list[list[float]] = Field(description="Little-endian base64, or rows of numbers.")


class SourceObject(Options):
    """A photo, a code or a latent id: exactly one of them."""

    image: Base64 | None = None
    code: CodeObject | list[list[float]] | None = None
    latent_id: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if len([name for name in self.model_fields_set if getattr(self, name) is not None]) != 1:
            raise ValueError("source must have exactly one of image, code, latent_id")
        return self

    def as_source(self) -> Source:
        """Turn it into what the handlers take."""
        if self.image is not None:
            return PhotoSource(_from_base64(self.image))
        if self.latent_id is not None:
            return LatentSource(self.latent_id)
        code = self.code
        return CodeSource(code.model_dump() if isinstance(code, CodeObject) else code)


class EmbedBody(EmbedOptions):
    """JSON body of /embed."""

    image: Base64

    def sources(self) -> list[tuple[str, Source]]:
        """Name the photo."""
        return [("image", PhotoSource(_from_base64(self.image)))]


class MorphBody(MorphOptions):
    """JSON body of /morph."""

    items: list[SourceObject] = Field(
        alias="sources", min_length=2, max_length=2, description="First and second, in order."
    )

    def sources(self) -> list[tuple[str, Source]]:
        """Name both, in order."""
        return [("sources", item.as_source()) for item in self.items]


class ColorizeBody(ColorizeOptions):
    """JSON body of /colorize."""

    gray: SourceObject
    color: SourceObject

    def sources(self) -> list[tuple[str, Source]]:
        """Name both."""
        return [("gray", self.gray.as_source()), ("color", self.color.as_source())]


class GenerateBody(GenerateOptions):
    """JSON body of /generate."""

    code: CodeObject | list[list[float]] | None = None
    latent_id: str | None = None

    def sources(self) -> list[tuple[str, Source]]:
        """Name what is given; none where a seed is."""
        rows: list[tuple[str, Source]] = []
        if self.code is not None:
            code = self.code
            value = code.model_dump() if isinstance(code, CodeObject) else code
            rows.append(("code", CodeSource(value)))
        if self.latent_id is not None:
            rows.append(("latent_id", LatentSource(self.latent_id)))
        return rows


class ImageObject(BaseModel):
    """An image in JSON."""

    media_type: str = Field(examples=["image/jpeg"])
    width: int
    height: int
    encoding: Literal["base64"] = "base64"
    data: Base64


class FaceObject(BaseModel):
    """The face that was used, in pixels of the upright photo."""

    index: int = Field(description="Which face, the largest first.")
    count: int = Field(description="Number of faces found.")
    box: list[float] = Field(description="Left, top, right, bottom.")
    landmarks: list[list[float]] = Field(description="68 points (x, y).")
    score: float = Field(description="The detector's confidence.")
    quad: list[list[float]] = Field(
        description="Corners of the crop: top left, bottom left, bottom right, top right."
    )


class QualityObject(BaseModel):
    """How near the reconstruction comes to the crop, at 256 px."""

    psnr: float | None = Field(description="Decibels; peak to peak is 2 on [-1, 1].")
    ssim: float
    lpips: float = Field(description="Perceptual distance, 0 is the same.")
    lpips_net: str = Field(description="Which one.", examples=["st-lpips-alex"])
    identity_similarity: float = Field(description="Cosine of the face descriptors.")
    refine_recommended: bool = Field(
        description=f"Whether the perceptual distance is above {REFINE_ABOVE_LPIPS}."
    )


class CodeAnswer(BaseModel):
    """A code, its image and what they took."""

    latent_id: str = Field(description="Names the code in later calls, for a while.")
    code: CodeObject | None = None
    image: ImageObject | None = None
    timings_ms: dict[str, float] = Field(description="Milliseconds by stage; `total` of all.")


class EmbedAnswer(CodeAnswer):
    """Answer of /embed."""

    face: FaceObject | None = Field(default=None, description="None where align is none.")
    quality: QualityObject


class Frame(BaseModel):
    """One step of a morph."""

    lam: float = Field(description="Share of the first code, 1 in the first frame.")
    code: CodeObject | None = None
    image: ImageObject | None = None


class FramesAnswer(BaseModel):
    """Answer of /morph where steps is given."""

    frames: list[Frame]
    timings_ms: dict[str, float] = Field(description="Milliseconds by stage; `total` of all.")


class Health(BaseModel):
    """A probe's answer."""

    status: Literal["alive", "ready"]


class Version(BaseModel):
    """What is running; what rests on the weights is null until they are loaded."""

    version: str
    python: str
    torch: str
    device: str
    backend: str
    ready: bool
    generator: str | None = None
    fingerprint: str | None = Field(default=None, description="SHA-256 of the generator's weights.")
    code_shape: list[int] | None = None
    image_px: int | None = None
    weights: dict[str, str] = Field(default={}, description="SHA-256 by weight file.")


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as err:
        detail = "image must be base64, got other text"
        raise InvalidRequestError(detail, [{"pointer": "#/image", "detail": detail}]) from err
