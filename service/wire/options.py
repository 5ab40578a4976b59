"""The options of each endpoint: query parameters, form fields or members of a JSON body.

An unknown option is an error, so that a misspelt one is never ignored.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_core.latents.editing import COLOUR_ROW
from service.wire.codes import Encoding
from service.wire.image_encoding import Format

MAX_STEPS = 60
MAX_BUDGET_MS = 10_000
MAX_STRENGTH = 10.0  # faces hold up to 3 or so
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
    no_store: bool = Field(
        default=False, description="Store nothing: the answer then has no latent id."
    )


class FaceOptions(Options):
    """How faces are found in photos."""

    align: Literal["auto", "none"] = Field(
        default="auto",
        description="Find and crop the face, or treat a square photo as already cropped.",
    )
    face: int = Field(default=0, ge=0, le=1000, description="Which face, the largest first.")


class PhotoOptions(OutputOptions, FaceOptions):
    """How photos are read and results written."""


class EmbedOptions(PhotoOptions):
    """Options of /embed."""

    wanted: Wanted = Field(
        default="code", alias="return", description="What a JSON answer carries."
    )
    budget_ms: int = Field(
        default=0,
        ge=0,
        le=MAX_BUDGET_MS,
        description="Time for the iterator to improve the code, including waiting for the device; "
        "0 for one pass of the network.",
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


class ColorizeOptions(PhotoOptions):
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


class EditOptions(PhotoOptions):
    """Options of /edit."""

    direction: str = Field(
        max_length=64, description="Attribute to change.", examples=["pose", "smile"]
    )
    strength: float = Field(
        default=2.0,
        ge=-MAX_STRENGTH,
        le=MAX_STRENGTH,
        allow_inf_nan=False,
        description="How far, in standard deviations of the generator's codes; below 0 backwards.",
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


class ListOptions(Options):
    """Options of GET /jobs."""

    limit: int = Field(default=20, ge=1, le=100, description="Most jobs to list.")
