"""What the service returns for a face: its code and its image."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

# An image's media type and suffixes, by the first two bytes of the file.
FORMATS = {
    b"\xff\xd8": ("image/jpeg", (".jpg", ".jpeg")),
    b"\x89P": ("image/png", (".png",)),
    b"RI": ("image/webp", (".webp",)),
}
UNKNOWN_FORMAT: tuple[str, tuple[str, ...]] = ("application/octet-stream", ())


@dataclass(frozen=True, repr=False)
class Face:
    """A face as the service returns it; a notebook shows its image.

    Attributes:
        code: W+ code, float32, (18, 512).
        image: Its image, as a file's bytes.
        latent_id: The service's id for the code, valid for a while; None with `no_store`.
        details: The whole answer: face, quality, timings, curve.
    """

    code: np.ndarray
    image: bytes
    latent_id: str | None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """Format of the image, such as image/jpeg."""
        return FORMATS.get(self.image[:2], UNKNOWN_FORMAT)[0]

    @property
    def identity_similarity(self) -> float | None:
        """Identity similarity of photo and image, at most 1; None if the service did not report it.

        Answers to `embed` report it if the service has the identity judge's weights.
        """
        found: float | None = self.details.get("quality", {}).get("identity_similarity")
        return found

    @property
    def same_person(self) -> bool | None:
        """Whether photo and image show the same person; None if the service did not report it."""
        found: bool | None = self.details.get("quality", {}).get("same_person")
        return found

    def __repr__(self) -> str:
        return (
            f"Face(code={self.code.shape}, image={len(self.image)} bytes of {self.media_type}, "
            f"latent_id={self.latent_id!r})"
        )

    def save(self, path: str | Path) -> Path:
        """Write the image, or the code if the path ends in .npy; return the path.

        Raises:
            ValueError: If the suffix belongs to another format. Nothing is converted, because the
                image would lose the mark that says how it was made.
        """
        path = Path(path)
        if path.suffix == ".npy":
            np.save(path, self.code, allow_pickle=False)
            return path
        media, suffixes = FORMATS.get(self.image[:2], UNKNOWN_FORMAT)
        if suffixes and path.suffix.lower() not in suffixes:
            raise ValueError(
                f"path must end in {' or '.join(suffixes)} or .npy for {media}, got {path.name}: "
                'use format="png" or "webp" in the call for another format'
            )
        path.write_bytes(self.image)
        return path

    def pil(self) -> "Image":
        """Decode the image with Pillow.

        Raises:
            ImportError: If Pillow is not installed.
        """
        try:
            from PIL import Image
        except ImportError as err:
            raise ImportError("Pillow must be installed for .pil(): pip install pillow") from err
        return Image.open(io.BytesIO(self.image))

    def _repr_jpeg_(self) -> bytes | None:
        return self.image if self.media_type == "image/jpeg" else None

    def _repr_png_(self) -> bytes | None:
        if self.media_type != "image/webp":
            return self.image if self.media_type == "image/png" else None
        out = io.BytesIO()  # notebooks have no hook for WebP
        self.pil().save(out, "PNG")
        return out.getvalue()
