"""The options of each endpoint: query parameters, form fields or members of a JSON body.

An unknown option is an error, so that a misspelt one is never ignored. All are in one long file,
because the endpoints share groups of them.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_core.latents.editing import COLOUR_ROW
from model_core.output.encoding import Format
from service.wire.codes import Encoding
from service.wire.directions import Directions
from service.wire.face_choice import LARGEST_INDEX, FaceChoice

MAX_STEPS = 60
ANIMATION_STEPS = 24
MAX_BUDGET_MS = 10_000
MIN_SIZE_PX, MAX_SIZE_PX = 64, 1024
PSI = 0.7

Wanted = Literal["code", "image", "both"]


class Options(BaseModel):
    """Rules that all options share."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, members: Any) -> Any:
        """Treat null, and empty optional values, as absent: forms and clients send them."""
        if not isinstance(members, dict):
            return members
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        return {
            name: value
            for name, value in members.items()
            if name not in fields
            or (value is not None and (value != "" or fields[name].is_required()))
        }


class OutputOptions(Options):
    """How results are computed and written."""

    detail: bool = Field(
        default=True,
        description="Render with the detail that the code leaves out of the photo; false renders "
        "the code alone.",
    )

    wanted: Wanted = Field(
        default="both", alias="return", description="What a JSON answer carries."
    )
    encoding: Encoding = Field(default="base64", description="How JSON answers write codes.")
    form: Format = Field(
        default="jpeg", alias="format", description="Format of images in JSON answers."
    )
    image_quality: int = Field(default=95, ge=1, le=100, description="Quality of JPEG and WebP.")
    size: int = Field(
        default=MAX_SIZE_PX,
        ge=MIN_SIZE_PX,
        le=MAX_SIZE_PX,
        description="Side of the face's image, px: a smaller one for a quick preview; at most the "
        "generator's own.",
    )
    no_store: bool = Field(
        default=False, description="Store nothing: the answer then has no latent id."
    )


class FaceOptions(Options):
    """How faces are found in photos."""

    align: Literal["auto", "none"] = Field(
        default="auto",
        description="Find and crop the face, or treat a square photo as already cropped.",
    )
    face: FaceChoice = Field(
        default=0,
        description="Which face, the largest first. With output=photo also several, such as 0,2, "
        "or all.",
    )

    @model_validator(mode="after")
    def _one_face_if_aligned(self) -> Self:
        if self.align == "none" and self.face not in (0, "all"):
            raise ValueError("face must be 0 or all when align is none: the photo is one face")
        return self

    @property
    def takes_several(self) -> bool:
        """Whether `face` chooses in a whole photo, where it may be several."""
        return False

    @property
    def rank(self) -> int:
        """The face of a photo that gives its face alone: next to a whole photo, the largest."""
        return self.face if isinstance(self.face, int) and not self.takes_several else 0

    @model_validator(mode="after")
    def _one_face(self) -> Self:
        if not isinstance(self.face, int) and not self.takes_several:
            shown = self.face if isinstance(self.face, str) else ",".join(map(str, self.face))
            raise ValueError(f"face must be one number unless output is photo, got {shown}")
        return self


class PhotoOptions(OutputOptions, FaceOptions):
    """How photos are read and results written."""


class PasteOptions(Options):
    """Whether the answer is the face or the whole photo, and how the face gets into the photo."""

    output: Literal["face", "photo"] = Field(
        default="face",
        description="Answer the face alone, or the whole photo with the new face in it, upright "
        "and at its own size.",
    )
    blend: Literal["auto", "transfer", "render"] = Field(
        default="auto",
        description="How a face is put into the photo: transfer adds what the edit changes and "
        "keeps the photo's own pixels elsewhere, render replaces the whole face; auto takes "
        "transfer unless the edit moves the face.",
    )

    @model_validator(mode="after")
    def _blend_needs_photo(self) -> Self:
        if self.blend != "auto" and self.output != "photo":
            raise ValueError(f"blend must be omitted unless output is photo, got {self.blend}")
        return self


class WholePhotoOptions(PhotoOptions, PasteOptions):
    """Options of calls that can answer a whole photo."""

    @property
    def takes_several(self) -> bool:
        """Whether `face` chooses in a whole photo, where it may be several."""
        return self.output == "photo"


class MergeOptions(WholePhotoOptions):
    """Options of /merge."""


class ResultOptions(OutputOptions, PasteOptions):
    """Options of GET /jobs/{job_id}/result."""


class EmbedOptions(WholePhotoOptions):
    """Options of /embed."""

    wanted: Wanted = Field(
        default="code", alias="return", description="What a JSON answer carries."
    )
    budget_ms: int = Field(
        default=0,
        ge=0,
        le=MAX_BUDGET_MS,
        description="Time for the iterator to improve each code, including waiting for the device; "
        "0 for one pass of the network. All faces and photos of a request together take at most "
        "half of the time until its deadline.",
    )
    quality: bool = Field(
        default=True,
        description="Measure how close the image comes; false answers sooner, and /quality "
        "measures it later.",
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
        description="Frames from the first to the second, ends included; "
        f"{ANIMATION_STEPS} if unset where only an animation is accepted.",
    )
    there_and_back: bool = Field(
        default=True,
        description="Whether an animation returns to the first, so that it loops without a jump.",
    )
    first_row: int = Field(default=0, ge=0, le=17, description="First row that is blended.")
    last_row: int | None = Field(
        default=None,
        ge=0,
        le=17,
        description="Last row that is blended, the finest if unset; other rows are the second's.",
    )
    frame_ms: int = Field(
        default=100, ge=20, le=5000, description="Duration of an animation's frame."
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.lam is not None and self.steps is not None:
            raise ValueError("lam must be omitted when steps is given, got both")
        return self


class QualityOptions(FaceOptions):
    """Options of /quality."""

    detail: bool = Field(
        default=True, description="Whether to measure the code with its detail, if it has one."
    )


class ColorizeOptions(WholePhotoOptions):
    """Options of /colorize."""

    first_row: int = Field(
        default=COLOUR_ROW, ge=0, le=17, description="First row taken from the colour code."
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


class DirectionOptions(Options):
    """What is changed in a face, and how far."""

    direction: str | None = Field(
        default=None,
        max_length=64,
        description="One attribute to change; GET /directions lists them.",
        examples=["pose", "smile"],
    )
    strength: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="How far to move along `direction`, in its unit; below 0 backwards. Its own "
        "default if unset.",
    )
    directions: Directions | None = Field(
        default=None,
        description="Several attributes to change at once, each with a value in its unit: "
        "`smile:1.5,age:-10`, or in JSON an object too.",
        examples=["smile:1.5,age:-10"],
    )
    unsafe: bool = Field(
        default=False,
        description="Allow values outside the safe ranges that GET /directions lists.",
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.direction is None and self.directions is None:
            raise ValueError("direction or directions must be given, got none")
        if self.direction is not None and self.directions is not None:
            raise ValueError("directions must be omitted when direction is given, got both")
        if self.directions is not None and self.strength is not None:
            raise ValueError("strength must be omitted when directions is given, got both")
        return self


class EditOptions(WholePhotoOptions, DirectionOptions):
    """Options of /edit."""


class FilmOptions(DirectionOptions):
    """Options of /films."""

    face: int = Field(
        default=0,
        ge=0,
        le=LARGEST_INDEX,
        description="Which person is edited: 0 is the one whose face fills most of the film.",
    )
    blend: Literal["auto", "transfer", "render"] = Field(
        default="auto",
        description="How the face is put into the frames, as in /edit with output=photo.",
    )


class GenerateOptions(OutputOptions):
    """Options of /generate."""

    seed: int | None = Field(default=None, ge=0, lt=2**32, description="Seed of a random code.")
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
            raise ValueError("psi must be omitted when no seed is given")
        return self


class RefineOptions(FaceOptions):
    """Options of /refine."""

    steps: int = Field(
        default=100, ge=1, le=5000, description="Number of updates, of code and detail together."
    )
    detail: bool = Field(
        default=True,
        description="Refine what the code leaves out of the photo too, after some steps on the "
        "code; false refines the code alone.",
    )
    start: Literal["embedding", "mean", "code"] | None = Field(
        default=None,
        description="Where to start: the photo's embedding if unset, or the code if one is given.",
    )
    time_budget_s: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Stop after this many seconds of work."
    )
    target_lpips: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Stop at this perceptual distance."
    )
    keep_photo: bool = Field(
        default=False,
        description="Keep the photo as long as the job, so that its result can be had with "
        "output=photo.",
    )


class ListOptions(Options):
    """Options of GET /jobs."""

    limit: int = Field(default=20, ge=1, le=100, description="Most jobs to list.")
