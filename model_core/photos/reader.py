"""The only reader of photos: a file's bytes to upright sRGB pixels, or the reason why not.

The service, folder alignment, training and evaluation all read photos with it. The steps are:
format from the first bytes, non-pixel parts set aside, header opened by the format's only
decoder, size checked, decoded, rotated by EXIF, converted to sRGB on white. Of a file
with several images, the first is read. Nothing but pixels is passed on.

Blocking; serves any number of threads.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from model_core.errors import (
    BrokenImageError,
    TooManyPixelsError,
    TooSmallError,
    UnsupportedImageError,
)
from model_core.photos.colour import to_srgb
from model_core.photos.containers import (
    JPEG_END,
    Contents,
    decodes_by_rows,
    open_jpeg,
    open_png,
)
from model_core.photos.damage import DAMAGE
from model_core.photos.formats import READ, find_format
from model_core.photos.profiles import ADOBE_GAMMA, ADOBE_PRIMARIES, matrix_profile, power

ORIENTATION = 0x0112
INTEROP_IFD, INTEROP_INDEX = 0xA005, 0x0001
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SHRINK_ABOVE_PX = 16_000_000  # a JPEG larger than this is decoded at 1/2, 1/4 or 1/8 of its size
BY_ROWS_FACTOR = 4  # factor on the pixel limit for a JPEG that is shrunk while it is decoded
# libtiff's other codecs are for faxes and films, and are where its bugs were found.
TIFF_CODECS = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "jpeg")
SLOW_CODECS = ("bmp_rle",)  # written in Python
MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB"}
MODES |= {"I;16", "I;16L", "I;16B", "I;16N"}
# Junk after a JPEG's last pixel is skipped, but missing pixels would be decoded from it.
JUNK = (b"\x55" * 1024, b"\xaa" * 1024)


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """Size limits for a photo.

    Attributes:
        max_pixels: Largest width times height. A JPEG that is decoded row by row, like those from
            phones, may have four times as many: it is shrunk on the way and never all in memory.
        min_side_px: Shortest side.
        own_size: Whether no JPEG is shrunk; then none may have more pixels than others.
    """

    max_pixels: int = 51_000_000
    min_side_px: int = 1
    own_size: bool = False


@dataclass(frozen=True, slots=True)
class Photo:
    """Upright sRGB pixels.

    Attributes:
        pixels: Pixels, RGB.
        scale: Pixels of the file per pixel here, 2.0 for a JPEG decoded at half its size.
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    scale: float = 1.0


def harden(limits: PhotoLimits) -> None:
    """Set Pillow's process-wide guards, a second line of defence behind `read_photo`'s checks.

    Its other warnings (odd EXIF, say) are the sender's concern, and would only fill the log.
    """
    Image.MAX_IMAGE_PIXELS = BY_ROWS_FACTOR * limits.max_pixels
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def read_photo(data: bytes, limits: PhotoLimits) -> Photo:
    """Decode a photo.

    Raises:
        ImageRejectedError: If it is not an image, not in a supported format, damaged, too large
            or too small; the class says which.
    """
    form = find_format(data)
    contents = _take_apart(form, data)
    img = _open(form, contents.data, limits)
    _check(img, form, contents.data, limits)
    scale = _shrink(img, limits)
    img = _load(img, form, contents.data, limits)
    exif = _read_exif(img, contents)
    rgb = to_srgb(img, contents.profiles or _other_profiles(img, exif))
    orientation = _tag(exif, ORIENTATION)
    turn = TURNS.get(orientation) if isinstance(orientation, int) else None
    return Photo(np.asarray(rgb.transpose(turn) if turn is not None else rgb), scale)


def _take_apart(form: str, data: bytes) -> Contents:
    if form == "PNG":
        return open_png(data)
    return open_jpeg(data) if form == "JPEG" else Contents(data)


@contextlib.contextmanager
def _decoding() -> Iterator[None]:
    """Convert Pillow's exceptions to our errors; only its calls belong inside."""
    try:
        yield
    except DAMAGE as err:
        raise BrokenImageError("image must be whole, got one that cannot be decoded") from err


def _open(form: str, data: bytes, limits: PhotoLimits) -> Image.Image:
    """Open a file's header."""
    try:
        with _decoding():
            return Image.open(io.BytesIO(data), formats=(form,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
        found = re.search(r"\((\d+) pixels\)", str(err))
        raise TooManyPixelsError(
            f"image must have at most {limits.max_pixels} pixels, got {found[1] if found else err}"
        ) from err


def _check(img: Image.Image, form: str, data: bytes, limits: PhotoLimits) -> None:
    """Check the header, before any pixel is decoded."""
    width, height = img.size
    largest = limits.max_pixels
    if form == "JPEG" and not limits.own_size and decodes_by_rows(data):
        largest *= BY_ROWS_FACTOR
    if width * height > largest:
        raise TooManyPixelsError(
            f"image must have at most {largest} pixels, got {width}x{height}, {width * height}"
        )
    if min(width, height) < limits.min_side_px:
        raise TooSmallError(
            f"image must have at least {limits.min_side_px} pixels a side, got {width}x{height}"
        )
    codec = img.info.get("compression", "raw") if form == "TIFF" else "raw"
    tiles = img.tile if isinstance(img, ImageFile.ImageFile) else []
    if codec not in TIFF_CODECS or any(tile[0] in SLOW_CODECS for tile in tiles):
        raise UnsupportedImageError(f"{READ}, got a {form} with unusual compression")
    if img.mode not in MODES:
        raise UnsupportedImageError(f"{READ} of 8 or 16 bits a channel, got mode {img.mode}")


def _shrink(img: Image.Image, limits: PhotoLimits) -> float:
    """Have a large JPEG decoded at a fraction of its size; return how far it shrinks."""
    if limits.own_size:
        return 1.0
    width, height = img.size
    parts = next(n for n in (1, 2, 4, 8) if width * height <= n * n * SHRINK_ABOVE_PX or n == 8)
    if parts == 1 or not isinstance(img, JpegImageFile):
        return 1.0
    with _decoding():
        img.draft(None, (width // parts, height // parts))
    return width / img.width


def _load(img: Image.Image, form: str, data: bytes, limits: PhotoLimits) -> Image.Image:
    """Decode the pixels. A JPEG that has them all may lack its end marker."""
    try:
        with _decoding():
            img.load()
        return img
    except BrokenImageError:
        if form != "JPEG":
            raise
    whole = data.removesuffix(JPEG_END[:1])
    read = []
    for junk in JUNK:
        ended = _open(form, whole + junk + JPEG_END, limits)
        _shrink(ended, limits)
        with _decoding():
            ended.load()
        read.append(ended)
    if read[0].tobytes() != read[1].tobytes():
        raise BrokenImageError("image must be whole, got one whose last part is missing")
    return read[0]


def _read_exif(img: Image.Image, contents: Contents) -> Image.Exif:
    """Read EXIF, or XMP in its place; empty if damaged."""
    for key, value in (("exif", contents.exif), ("xmp", contents.xmp)):
        if value is not None:
            img.info[key] = value
    try:
        return img.getexif()
    except DAMAGE:
        return Image.Exif()


def _tag(exif: Image.Exif, tag: int, folder: int | None = None) -> object:
    """Return a tag of EXIF, or of a folder in it; None if missing or damaged."""
    try:
        return (exif if folder is None else exif.get_ifd(folder)).get(tag)
    except DAMAGE:
        return None


def _other_profiles(img: Image.Image, exif: Image.Exif) -> tuple[bytes, ...]:
    """Return the profile that Pillow found, or Adobe RGB's if EXIF marks it (DCF)."""
    if profile := img.info.get("icc_profile"):
        return (profile,)
    marked = _tag(exif, INTEROP_INDEX, INTEROP_IFD)
    if isinstance(marked, str) and marked.startswith("R03"):
        profile = matrix_profile(ADOBE_PRIMARIES, power(ADOBE_GAMMA))
        return (profile,) if profile else ()
    return ()
