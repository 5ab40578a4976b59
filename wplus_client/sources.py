"""Encode a caller's source (a photo, a code or a face) as a form part."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Union, cast

import numpy as np

from wplus_client.face import Face

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PNG_BYTES = 15_000_000  # a larger image is sent as JPEG: the service takes 20 MB by default

Source = Union[str, Path, bytes, BinaryIO, np.ndarray, "Image", Face]
Part = tuple[str | None, str | bytes]


def write_part(source: Source) -> Part:
    """Encode a source as a form part: a file with its name, or a latent id as text.

    Raises:
        ValueError: If the source is a URL, or an array that is neither an image nor a code.
        OSError: If the source is a path that cannot be read.
    """
    if isinstance(source, Face):
        if source.latent_id is not None:
            return None, source.latent_id
        source = source.code
    if _is_pillow(source):
        return "photo", _encode(cast("Image", source))
    if isinstance(source, str) and source.lower().startswith(("http://", "https://", "data:")):
        raise ValueError(f"source must be a path, got a URL: download {source[:60]} first")
    if isinstance(source, str | Path):
        return "photo", Path(source).read_bytes()
    if isinstance(source, bytes | bytearray | memoryview):
        return "photo", bytes(source)
    if hasattr(source, "read"):
        return "photo", cast(BinaryIO, source).read()
    return _array_part(np.asarray(source))


def _array_part(array: np.ndarray) -> Part:
    """Tell an image from a code: images are uint8, codes are floats."""
    out = io.BytesIO()
    if array.dtype.kind == "f" and array.ndim <= 3 and array.shape[-1:] not in ((3,), (4,)):
        np.save(out, array, allow_pickle=False)
        return "code.npy", out.getvalue()
    if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[2:] in ((3,), (4,))):
        try:
            from PIL import Image
        except ImportError as err:
            raise ImportError(
                "Pillow must be installed to send arrays of pixels: pip install pillow"
            ) from err
        return "photo", _encode(Image.fromarray(array))
    raise ValueError(
        "array must be a uint8 image, (height, width, 3), or a float code, (18, 512), "
        f"got {array.dtype} of {array.shape}"
    )


def _is_pillow(source: object) -> bool:
    """Check without importing Pillow: a caller with one of its images has imported it."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(source, pillow.Image)


def _encode(image: "Image") -> bytes:
    """Encode an image as PNG, or as JPEG if that would be too large to send."""
    about = {"exif": image.getexif(), "icc_profile": image.info.get("icc_profile")}
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGB")
        about["icc_profile"] = None  # the profile belongs to the other mode
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1, **about)
    if out.tell() > MAX_PNG_BYTES:
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=95, **about)
    return out.getvalue()


class FilmFile:
    """A film as a form part, read from its file while it is sent, and again if it is sent again.

    Args:
        path: The film.

    Raises:
        ValueError: If the path is a URL.
        OSError: If the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        if isinstance(path, str) and path.lower().startswith(("http://", "https://", "data:")):
            raise ValueError(f"film must be a path, got a URL: download {path[:60]} first")
        self._path = Path(path)
        self._file = self._path.open("rb")

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes; at the end, close the file."""
        data = b"" if self._file.closed else self._file.read(size)
        if not data:
            self._file.close()
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position."""
        return self._open().seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._open().tell()

    def _open(self) -> BinaryIO:
        if self._file.closed:
            self._file = self._path.open("rb")
        return self._file
