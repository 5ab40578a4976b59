"""Images out: pixels to JPEG, PNG and WebP and to WebP or GIF animations, with their mark.

All functions block: call them from a worker thread.
"""

import io
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from model_core.output.provenance import mark_gif, png_info
from model_core.pixels import Pixels, SquarePixels

Format = Literal["jpeg", "png", "webp"]
MEDIA_TYPES: dict[str, Format] = {"image/jpeg": "jpeg", "image/png": "png", "image/webp": "webp"}
LONGEST_PX: dict[Format, int] = {"jpeg": 65_500, "png": 2**31 - 1, "webp": 16_383}
"""Longest side that the formats, as Pillow writes them, can have."""
PNG_LEVEL = 1  # a third of the default level's time for a tenth more bytes
WEBP_METHOD = 0  # a fifth of the default method's time


def shrink(pixels: SquarePixels, side_px: int) -> UInt8[np.ndarray, "shown shown 3"]:
    """Area-average a square image to a smaller side; one that is not larger stays as it is."""
    if pixels.shape[0] <= side_px:
        return pixels
    size = (side_px, side_px)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def encode_image(pixels: Pixels, form: Format, quality: int, xmp: bytes) -> bytes:
    """Encode one image.

    Args:
        pixels: The image.
        form: Its format.
        quality: 1 to 100 for JPEG (always 4:4:4) and WebP; ignored for PNG.
        xmp: The provenance packet that it carries.
    """
    img, out = Image.fromarray(pixels), io.BytesIO()
    if form == "png":
        img.save(out, "PNG", compress_level=PNG_LEVEL, pnginfo=png_info(xmp))
    elif form == "webp":
        img.save(out, "WEBP", quality=quality, method=WEBP_METHOD, xmp=xmp)
    else:
        img.save(out, "JPEG", quality=quality, subsampling="4:4:4", xmp=xmp)
    return out.getvalue()


def encode_webp_animation(frames: list[Pixels], frame_ms: int, quality: int, xmp: bytes) -> bytes:
    """Encode frames as a looping animated WebP, `frame_ms` milliseconds each."""
    first, *rest = (Image.fromarray(frame) for frame in frames)
    out = io.BytesIO()
    first.save(
        out,
        "WEBP",
        save_all=True,
        append_images=rest,
        duration=frame_ms,
        loop=0,
        quality=quality,
        method=WEBP_METHOD,
        xmp=xmp,
    )
    return out.getvalue()


def encode_gif(frames: list[Pixels], frame_ms: int, xmp: bytes) -> bytes:
    """Encode frames as a looping GIF, `frame_ms` milliseconds each (rounded to tens)."""
    first, *rest = (Image.fromarray(frame) for frame in frames)
    out = io.BytesIO()
    first.save(out, "GIF", save_all=True, append_images=rest, duration=frame_ms, loop=0)
    return mark_gif(out.getvalue(), xmp)
