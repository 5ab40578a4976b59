"""Models of JSON answers; a code is read in the same form in which it is written."""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_serializer,
)

from model_core.metrics.identity import SAME_PERSON_SIMILARITY
from service.wire.code_files import MAX_AXES
from service.wire.codes import Encoding, unwrap
from service.wire.examples import CODE_ANSWER, EMBED_ANSWER, LATENT_ID

REFINE_ABOVE_LPIPS = 0.21  # after one pass, half of 200 held-out photographs are above it

Base64 = Annotated[
    str, Field(description="Base64 of the file.", json_schema_extra={"contentEncoding": "base64"})
]


# The two branches of a code; problems.py leaves these tags out of its pointers.
NUMBERS, OTHER = "(numbers)", "(other)"


def _branch(value: object) -> str:
    return NUMBERS if isinstance(value, list) else OTHER


# The exact shape is checked against the generator later; these bounds stop floods, and so does
# fail_fast: half a million wrong numbers are one error.
Row = Annotated[list[float], Field(max_length=8192, fail_fast=True)]
Rows = Annotated[list[Row], Field(max_length=64, fail_fast=True), Tag(NUMBERS)]
Shape = Annotated[list[int], Field(max_length=MAX_AXES, fail_fast=True)]


class CodeObject(BaseModel):
    """A W+ code in JSON."""

    model_config = ConfigDict(extra="forbid")

    generator: str | None = Field(default=None, description="Name of the generator.")
    fingerprint: str | None = Field(default=None, description="SHA-256 of the generator's weights.")
    shape: Shape | None = Field(
        default=None, description="Rows and values in each.", examples=[[18, 512]]
    )
    dtype: Literal["float16", "float32", "float64"] = Field(
        default="float32", description="Type of the values, if `data` is base64."
    )
    encoding: Encoding = Field(default="base64", description="How `data` is written.")
    data: Annotated[Annotated[str, Tag(OTHER)] | Rows, Discriminator(_branch)] = Field(
        description="Little-endian base64, or rows of numbers."
    )


Code = Annotated[
    Annotated[CodeObject, Tag(OTHER)] | Rows, Discriminator(_branch), BeforeValidator(unwrap)
]

GivenCode = Annotated[Code | None, Field(description="A W+ code, from an earlier answer.")]
LatentId = Annotated[
    str | None,
    Field(description="Id of a stored code, from an earlier answer.", examples=[LATENT_ID]),
]
Photo = Annotated[Base64 | None, Field(description="Base64 of a photo.")]


class ImageObject(BaseModel):
    """An image in JSON."""

    media_type: str = Field(description="Format of the file.", examples=["image/jpeg"])
    width: int = Field(description="Pixels from left to right.", examples=[1024])
    height: int = Field(description="Pixels from top to bottom.", examples=[1024])
    encoding: Literal["base64"] = Field(default="base64", description="How `data` is written.")
    data: Base64


class NullsWritten(BaseModel):
    """An object whose null members are written, where other answers leave them out."""

    # Unannotated: pydantic would use the return type as the members' schema.
    @model_serializer
    def _members(self):  # type: ignore[no-untyped-def]
        return {name: getattr(self, name) for name in type(self).model_fields}


class FaceObject(BaseModel):
    """The face that was used, in pixels of the upright photo."""

    index: int = Field(description="Rank of the face by size, from 0.")
    count: int = Field(description="Number of faces found.")
    box: list[float] = Field(description="Left, top, right, bottom.")
    landmarks: list[list[float]] = Field(description="68 points (x, y).")
    score: float = Field(description="The detector's confidence.")
    quad: list[list[float]] = Field(
        description="Corners of the crop: top left, bottom left, bottom right, top right."
    )


class QualityObject(NullsWritten):
    """How close the reconstruction comes to the crop, at 256 px."""

    psnr: float | None = Field(
        description="Decibels; peak to peak is 2 on [-1, 1]. Null if the two are equal."
    )
    ssim: float = Field(description="Likeness of structure, 1 is the same.")
    lpips: float = Field(description="Perceptual distance, 0 is the same.")
    lpips_net: str = Field(description="Which distance it is.", examples=["st-lpips-alex"])
    identity_similarity: float | None = Field(
        description="Cosine of the two faces' descriptors by the recogniser that `identity_judge` "
        "of /version names, on which nothing here was trained; strangers are at about .37. Null "
        "if its weights are missing.",
        examples=[0.62],
    )
    same_person: bool | None = Field(
        description=f"Whether that is at least {SAME_PERSON_SIMILARITY}, which one pair of "
        "strangers in a hundred reaches; null if unknown."
    )
    refine_recommended: bool = Field(
        description=f"Whether the perceptual distance is above {REFINE_ABOVE_LPIPS}."
    )


class FoundFace(BaseModel):
    """A face of the photo, in pixels of the upright photo."""

    index: int = Field(description="Rank of the face by size, from 0: a value of `face`.")
    box: list[float] = Field(description="Left, top, right, bottom.")
    score: float = Field(description="The detector's confidence.")


class PastedFace(BaseModel):
    """A face in the photo that an answer with output=photo shows."""

    index: int = Field(description="Rank of the face by size, from 0.")
    blend: Literal["transfer", "render"] = Field(description="How it was put into the photo.")
    box: list[int] | None = Field(
        default=None,
        description="Left, top, right, bottom of the pixels that may have changed, right and "
        "bottom excluded; absent if none have.",
    )
    latent_id: str | None = Field(default=None, description="Id of its code in later calls.")
    code: CodeObject | None = Field(
        default=None, description="Its code; absent if `return` is image."
    )


class CodeAnswer(BaseModel):
    """A code, its image and how long they took."""

    model_config = ConfigDict(json_schema_extra={"examples": [CODE_ANSWER]})

    latent_id: str | None = Field(
        default=None,
        description="Id of the code in later calls, for a while; none by no_store.",
        examples=[LATENT_ID],
    )
    detail: bool = Field(
        description="Whether the image has the detail that the code leaves out; `latent_id` and "
        "a safetensors answer hold it."
    )
    code: CodeObject | None = Field(
        default=None, description="The code; absent if `return` is image."
    )
    image: ImageObject | None = Field(
        default=None, description="The image; absent if `return` is code."
    )
    pasted: list[PastedFace] | None = Field(
        default=None,
        description="The faces of a whole photo, the largest first; only with output=photo. The "
        "other members describe the first of them.",
    )
    timings_ms: dict[str, float] = Field(
        description="Milliseconds by stage, concurrent parts counted once; `total` is that of all."
    )


class EmbedAnswer(CodeAnswer):
    """Answer of /embed."""

    model_config = ConfigDict(json_schema_extra={"examples": [EMBED_ANSWER]})

    face: FaceObject | None = Field(default=None, description="Absent if align is none.")
    faces: list[FoundFace] | None = Field(
        default=None,
        description="All faces of the photo, the largest first, at most 16; absent if align is "
        "none.",
    )
    quality: QualityObject | None = Field(default=None, description="Absent if quality is false.")
    polish_steps: int = Field(description="Iterator steps done within budget_ms.")


class QualityAnswer(BaseModel):
    """Answer of /quality."""

    quality: QualityObject
    timings_ms: dict[str, float] = Field(
        description="Milliseconds by stage, concurrent parts counted once; `total` is that of all."
    )


class Frame(BaseModel):
    """One step of a morph."""

    lam: float = Field(description="Share of the person that is left, 1 in the first frame.")
    first: int = Field(
        default=0, description="Index of that person among the sources; the next gets the rest."
    )
    code: CodeObject | None = Field(
        default=None, description="The code; absent if `return` is image."
    )
    image: ImageObject | None = Field(
        default=None, description="The image; absent if `return` is code."
    )


class FramesAnswer(BaseModel):
    """Answer of /morph if steps is given."""

    frames: list[Frame] = Field(description="The steps, from the first face to the second.")
    timings_ms: dict[str, float] = Field(
        description="Milliseconds by stage, concurrent parts counted once; `total` is that of all."
    )


class Health(BaseModel):
    """A probe's answer."""

    status: Literal["alive", "ready"] = Field(description="What was asked for, and is so.")


class Version(BaseModel):
    """Versions in use; what depends on the weights is null until they are loaded."""

    version: str = Field(description="Version of the service.")
    python: str = Field(description="Version of Python.")
    torch: str = Field(description="Version of torch.")
    device: str = Field(description="Device of the networks.", examples=["cpu"])
    backend: str = Field(description="How the generator currently runs.")
    dtype: str | None = Field(default=None, description="Precision of the networks.")
    dtype_reason: str | None = Field(default=None, description="Why that precision was chosen.")
    ready: bool = Field(description="Whether the weights are loaded and warm.")
    generator: str | None = Field(default=None, description="Name of the generator.")
    fingerprint: str | None = Field(default=None, description="SHA-256 of the generator's weights.")
    code_shape: list[int] | None = Field(
        default=None, description="Rows of a code, and values in each.", examples=[[18, 512]]
    )
    image_px: int | None = Field(default=None, description="Side of an image.", examples=[1024])
    detail: str | None = Field(
        default=None,
        description="SHA-256 of the detail decoder's weights, which details name; null if there "
        "is none. `weights` has the encoder's.",
    )
    identity_judge: str | None = Field(
        default=None,
        description="Recogniser behind `identity_similarity` and `same_person`; null if its "
        "weights are missing, and so are those figures.",
    )
    directions: list[str] = Field(default=[], description="Directions that /edit offers.")
    weights: dict[str, str] = Field(default={}, description="SHA-256 by weight file.")
