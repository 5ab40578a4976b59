"""JSON bodies: the options of each endpoint with the photos, codes or latent ids it works on.

Only their shape is checked here: `images` checks photos, `codes` checks codes.
"""

from typing import Self

from pydantic import Field, model_validator

from model_core.errors import WplusError
from service.errors import EmptyBodyError, InvalidRequestError
from service.wire.base64_text import read_base64
from service.wire.options import (
    ColorizeOptions,
    EditOptions,
    EmbedOptions,
    GenerateOptions,
    MergeOptions,
    MorphOptions,
    Options,
    QualityOptions,
    RefineOptions,
)
from service.wire.schemas import Base64, Code, CodeObject, GivenCode, LatentId, Photo
from service.wire.sources import CodeSource, LatentSource, PhotoSource, RefusedSource, Source

MOST_IMAGES = 64  # the settings allow fewer


class SourceObject(Options):
    """A photo, a code or a latent id: exactly one of them."""

    image: Photo = None
    code: GivenCode = None
    latent_id: LatentId = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if len([name for name in self.model_fields_set if getattr(self, name) is not None]) != 1:
            raise ValueError("source must have exactly one of image, code, latent_id")
        return self

    def as_source(self) -> Source:
        """Convert it to what the handlers take."""
        if self.image is not None:
            return PhotoSource(_from_base64(self.image))
        if self.latent_id is not None:
            return LatentSource(self.latent_id)
        return _code_source(self.code)


class EmbedBody(EmbedOptions):
    """JSON body of /embed."""

    image: Base64 | None = Field(default=None, description="The photo.")
    images: list[Base64] | None = Field(
        default=None, min_length=1, max_length=MOST_IMAGES, description="Several photos."
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.image is None and self.images is None:
            raise ValueError("image must be given, got none")
        if self.image is not None and self.images is not None:
            raise ValueError("images must be omitted when image is given, got both")
        return self

    def sources(self) -> list[tuple[str, Source]]:
        """Return the photos with their names; one of several that is not base64 as refused."""
        if self.image is not None:
            return [("image", PhotoSource(_from_base64(self.image)))]
        rows: list[tuple[str, Source]] = []
        for i, text in enumerate(self.images or ()):
            try:
                rows.append(("images", PhotoSource(_from_base64(text, f"images/{i}"))))
            except WplusError as err:
                rows.append(("images", RefusedSource(err)))
        return rows


class _PhotoAndCode(Options):
    """A photo, and a code or a latent id to compare it with or to start from."""

    image: Base64
    code: GivenCode = None
    latent_id: LatentId = None

    def sources(self) -> list[tuple[str, Source]]:
        """Return the photo and, if given, the code, with their names."""
        rows: list[tuple[str, Source]] = [("image", PhotoSource(_from_base64(self.image)))]
        return rows + _known_sources(self.code, self.latent_id)


class QualityBody(QualityOptions, _PhotoAndCode):
    """JSON body of /quality."""


class RefineBody(RefineOptions, _PhotoAndCode):
    """JSON body of /refine."""


class MorphBody(MorphOptions):
    """JSON body of /morph."""

    items: list[SourceObject] = Field(
        alias="sources", min_length=2, max_length=MOST_IMAGES, description="The people, in order."
    )

    def sources(self) -> list[tuple[str, Source]]:
        """Return them with their names, in order."""
        return [("sources", item.as_source()) for item in self.items]


class ColorizeBody(ColorizeOptions):
    """JSON body of /colorize."""

    gray: SourceObject
    color: SourceObject

    def sources(self) -> list[tuple[str, Source]]:
        """Return both with their names."""
        return [("gray", self.gray.as_source()), ("color", self.color.as_source())]


class MergeBody(MergeOptions):
    """JSON body of /merge."""

    identity: Base64
    attribute: Base64

    def sources(self) -> list[tuple[str, Source]]:
        """Return both photos with their names."""
        return [
            ("identity", PhotoSource(_from_base64(self.identity, "identity"))),
            ("attribute", PhotoSource(_from_base64(self.attribute, "attribute"))),
        ]


class EditBody(EditOptions):
    """JSON body of /edit."""

    image: Photo = None
    code: GivenCode = None
    latent_id: LatentId = None
    photo: Base64 | None = Field(
        default=None,
        description="Base64 of the photo that the result of a code or latent id goes into, with "
        "output=photo.",
    )

    def sources(self) -> list[tuple[str, Source]]:
        """Return what is given, with its name."""
        rows: list[tuple[str, Source]] = []
        for name, photo in (("image", self.image), ("photo", self.photo)):
            if photo is not None:
                rows.append((name, PhotoSource(_from_base64(photo, name))))
        return rows + _known_sources(self.code, self.latent_id)


class GenerateBody(GenerateOptions):
    """JSON body of /generate."""

    code: GivenCode = None
    latent_id: LatentId = None

    def sources(self) -> list[tuple[str, Source]]:
        """Return what is given, with its name; nothing if a seed is."""
        return _known_sources(self.code, self.latent_id)


def _known_sources(code: Code | None, latent_id: str | None) -> list[tuple[str, Source]]:
    rows: list[tuple[str, Source]] = []
    if code is not None:
        rows.append(("code", _code_source(code)))
    if latent_id is not None:
        rows.append(("latent_id", LatentSource(latent_id)))
    return rows


def _code_source(code: Code | None) -> CodeSource:
    return CodeSource(code.model_dump() if isinstance(code, CodeObject) else code)


def _from_base64(text: str, name: str = "image") -> bytes:
    try:
        data = read_base64(text)
    except ValueError as err:
        detail = f"{name} must be base64, got {err}"
        raise InvalidRequestError(detail, [{"pointer": f"#/{name}", "detail": detail}]) from err
    if not data:
        raise EmptyBodyError(f"{name} must not be empty, got 0 bytes")
    return data
