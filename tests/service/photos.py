"""Photos to send, made on the spot."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encode(image, form="JPEG", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def plain(color=(200, 100, 50), size=(320, 320), form="JPEG", **options):
    return encode(Image.new("RGB", size, color), form, **options)


def noise(size=(320, 240), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def animation(form, frames=3, **options):
    first, *rest = (Image.new("RGB", (128, 128), (40 * i, 90, 10)) for i in range(1, frames + 1))
    return encode(first, form, save_all=True, append_images=rest, duration=100, **options)


def png(width, height, depth, rows):
    """A PNG of RGB rows, written by hand: Pillow writes neither 16-bit colour nor lies."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_header(width, height):
    """A PNG that claims a size and holds next to nothing."""
    return png(width, height, 8, b"\0" * 100)


def heic():
    return struct.pack(">I", 24) + b"ftypheic" + b"\0\0\0\0mif1heic" + b"\0" * 200
