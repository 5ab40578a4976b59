"""Photos in: untrusted bytes to upright sRGB pixels, refusing what is unsafe before decoding it.

In this order: bytes counted (middleware), magic bytes, header opened with an allow-list, format
and frames rechecked, size bounded, decoded, turned by EXIF, brought to sRGB, alpha laid on white.
Nothing of the file but its pixels goes on. All of it is blocking: call it from a worker thread.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

from service.errors import (
    AnimatedImageError,
    BrokenImageError,
    TooLargeError,
    TooManyPixelsError,
    TooSmallError,
    UnsupportedImageError,
)

FORMATS = ("JPEG", "PNG", "WEBP")
DECODED = (
    *FORMATS,
    "MPO",
)  # what Image.open may call a file of FORMATS; an MPO's frame 0 is a JPEG
ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
OTHERS = {
    b"GIF8": "GIF, which may move",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"BM": "BMP",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"\x00\x00\x01\x00": "ICO",
}
# What Pillow's decoders raise on damaged files, as fuzzing has it.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)
HALVE_ABOVE_PX = 16_000_000  # a JPEG larger than this is decoded at half its size


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What a photo may be.

    Attributes:
        max_bytes: Largest file.
        max_pixels: Largest width times height.
        min_side_px: Shortest side.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 40_000_000
    min_side_px: int = 64


@dataclass(frozen=True, slots=True)
class Photo:
    """Upright sRGB pixels.

    Attributes:
        pixels: Pixels, RGB.
        scale: Pixels of the file per pixel here, 2.0 for a JPEG decoded at half its size.
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    scale: float = 1.0


def harden(limits: ImageLimits) -> None:
    """Set Pillow's process-wide guards, a second line behind the checks of `read_photo`.

    What else it warns of (odd EXIF, say) is the sender's affair, and would only fill the log.
    """
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def read_photo(data: bytes, limits: ImageLimits) -> Photo:
    """Decode a photo.

    Raises:
        ImageRejectedError: If it is not an image, not of a format that is read, damaged, moving,
            too large or too small; the class says which.
        TooLargeError: If the file has too many bytes.
    """
    if len(data) > limits.max_bytes:
        raise TooLargeError(f"image must have at most {limits.max_bytes} bytes, got {len(data)}")
    _check_magic(data)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as img:
            _check_header(img, limits)
            scale = _halve(img)
            img.load()
            turn = TURNS.get(_orientation(img))
            rgb = _to_rgb(img)
            return Photo(np.asarray(rgb.transpose(turn) if turn is not None else rgb), scale)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
        raise TooManyPixelsError(
            f"image must have at most {limits.max_pixels} pixels, got more"
        ) from err
    except DAMAGE as err:
        raise BrokenImageError("image must be whole, got one that cannot be decoded") from err


def _check_magic(data: bytes) -> None:
    if data[:3] == b"\xff\xd8\xff" or data[:8] == b"\x89PNG\r\n\x1a\n":
        return
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return
    if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
        raise UnsupportedImageError(
            "image must be JPEG, PNG or WebP, got HEIC: export it as JPEG (on an iPhone: Settings, "
            "Camera, Formats, Most Compatible; or share it by mail, which converts it)"
        )
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        raise UnsupportedImageError("image must be JPEG, PNG or WebP, got AVIF")
    found = next((name for magic, name in OTHERS.items() if data.startswith(magic)), None)
    raise UnsupportedImageError(
        f"image must be JPEG, PNG or WebP, got {found or 'bytes that are no image'}"
    )


def _check_header(img: Image.Image, limits: ImageLimits) -> None:
    """Check what the header says, before any pixel is decoded."""
    if img.format not in DECODED:
        raise UnsupportedImageError(f"image must be JPEG, PNG or WebP, got {img.format}")
    width, height = img.size
    if width * height > limits.max_pixels:
        raise TooManyPixelsError(
            f"image must have at most {limits.max_pixels} pixels, got {width}x{height}"
        )
    if min(width, height) < limits.min_side_px:
        raise TooSmallError(
            f"image must have at least {limits.min_side_px} pixels a side, got {width}x{height}"
        )
    if img.format != "MPO" and getattr(img, "is_animated", False):
        raise AnimatedImageError("image must be a still one, got an animation: send one frame")


def _halve(img: Image.Image) -> float:
    """Let a very large JPEG be decoded at half its size, which is a quarter of the work."""
    width, height = img.size
    if img.format not in ("JPEG", "MPO") or width * height <= HALVE_ABOVE_PX:
        return 1.0
    img.draft(None, (width // 2, height // 2))
    return width / img.size[0]


def _orientation(img: Image.Image) -> int:
    """Read EXIF's orientation; a file with damaged EXIF counts as upright."""
    try:
        return int(img.getexif().get(ORIENTATION_TAG, 1))
    except DAMAGE:
        return 1


def _to_rgb(img: Image.Image) -> Image.Image:
    """Bring any mode to sRGB: profile applied, 16 bits scaled to 8, alpha laid on white."""
    if img.mode.startswith("I;16"):  # Pillow clips 16 bits on conversion, so scale them here
        return Image.fromarray((np.asarray(img) >> 8).astype(np.uint8)).convert("RGB")
    if img.mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in img.info:
        img = _keep_profile(img, img.convert("RGBA"))
    if img.mode == "RGBA":
        white = Image.new("RGB", img.size, (255, 255, 255))
        white.paste(img, mask=img)
        img = _keep_profile(img, white)
    return _to_srgb(img).convert("RGB")


def _keep_profile(source: Image.Image, target: Image.Image) -> Image.Image:
    target.info["icc_profile"] = source.info.get("icc_profile")
    return target


def _to_srgb(img: Image.Image) -> Image.Image:
    """Apply the embedded profile; one that is damaged or does not fit the mode is passed over."""
    profile = img.info.get("icc_profile")
    if not profile or img.mode not in ("RGB", "L", "CMYK"):
        return img
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return img
        target = ImageCms.createProfile("sRGB")
        turned = ImageCms.profileToProfile(img, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, *DAMAGE):
        return img
    return turned if turned is not None else img
