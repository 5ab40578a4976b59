"""Split PNG and JPEG files into what the pixels are decoded from, and what describes them.

The decoder only sees the parts that pixels are made of, so that texts, thumbnails and
damaged metadata cannot keep an intact image from being read. What describes the pixels (colour,
orientation) is read here, within bounds, and ignored if damaged.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from model_core.photos.profiles import (
    SRGB_PRIMARIES,
    Chromaticities,
    coded_profile,
    matrix_profile,
    power,
    srgb,
)

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
MAX_PROFILE_BYTES = 4_000_000  # the largest in use, for printing presses, have 3 MB
MAX_TEXT_BYTES = 1_000_000
XMP_KEY, EXIF_KEY = b"XML:com.adobe.xmp", b"Raw profile type exif"
GAMMA_SRGB = 1 / 2.2
GAMMA_NEAR = 0.05  # libpng, too, treats this as the same gamma

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
JPEG_SCAN, JPEG_COMMENT, JPEG_APPS = 0xDA, 0xFE, range(0xE0, 0xF0)
# The two that say how the channels are to be understood, and how long they must be.
JPEG_CHANNELS = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
JPEG_EXIF, JPEG_XMP, JPEG_ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"


@dataclass(frozen=True, slots=True)
class Contents:
    """A file that has been split.

    Attributes:
        data: The data to decode.
        profiles: ICC profiles for its pixels, in the order to try them; an empty one is sRGB.
        exif: EXIF with its leading mark, if any.
        xmp: XMP, if any.
    """

    data: bytes
    profiles: tuple[bytes, ...] = ()
    exif: bytes | None = None
    xmp: bytes | None = None


def open_png(data: bytes) -> Contents:
    """Split a PNG; for an animated one, keep what plain readers show."""
    kept, said = [PNG_MAGIC], dict[bytes, bytes]()
    for kind, start, length in _chunks(data):
        end = start + length
        if kind in PNG_PIXELS:
            # Pillow keeps 8 bits of colour, in which a key of 16 bits cannot be found.
            deep_key = kind == b"tRNS" and data[24:26] == b"\x10\x02"
            if not deep_key and (kind != b"tRNS" or _is_sound(data, start, end)):
                kept.append(data[start - 8 : end + 4])
        elif kind in PNG_TEXTS:
            key = data[start : start + 80].partition(b"\0")[0]
            if key in (XMP_KEY, EXIF_KEY):
                said.setdefault(key, _text(kind, data[start + len(key) + 1 : end]))
        elif kind not in said and _is_sound(data, start, end):
            said[kind] = data[start:end]
    return Contents(b"".join(kept), _png_profiles(said), _png_exif(said), said.get(XMP_KEY))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, position and length of a PNG's chunks; the last may end early."""
    at = len(PNG_MAGIC)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += 12 + length


def _is_sound(data: bytes, start: int, end: int) -> bool:
    """Whether a chunk is complete and its checksum correct."""
    return data[end : end + 4] == zlib.crc32(data[start - 4 : end]).to_bytes(4)


def _inflate(data: bytes, limit: int) -> bytes:
    """Decompress; return nothing if the data is damaged or too large."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, limit)
    except zlib.error:
        return b""
    return b"" if stream.unconsumed_tail else plain


def _text(kind: bytes, rest: bytes) -> bytes:
    """Return the text of a PNG chunk from what follows its key; nothing if it is damaged."""
    if kind == b"tEXt":
        return rest[:MAX_TEXT_BYTES]
    if kind == b"zTXt":
        return _inflate(rest[1:], MAX_TEXT_BYTES)
    packed, parts = rest[:1] == b"\x01", rest[2:].split(b"\0", 2)
    if len(parts) < 3:
        return b""
    return _inflate(parts[2], MAX_TEXT_BYTES) if packed else parts[2][:MAX_TEXT_BYTES]


def _png_exif(said: dict[bytes, bytes]) -> bytes | None:
    if b"eXIf" in said:
        return JPEG_EXIF + said[b"eXIf"]
    lines = said.get(EXIF_KEY, b"").split(b"\n")  # empty, "exif", length, then hexadecimal digits
    try:
        return bytes.fromhex(b"".join(lines[3:]).decode("ascii")) or None
    except ValueError:
        return None


def _png_profiles(said: dict[bytes, bytes]) -> tuple[bytes, ...]:
    """List a PNG's colour profiles in the standard's order: cICP, iCCP, sRGB, gAMA."""
    found: list[bytes | None] = []
    if len(code := said.get(b"cICP", b"")) == 4:
        found.append(coded_profile(code[0], code[1]))
    packed = said.get(b"iCCP", b"").partition(b"\0")[2]
    if packed[:1] == b"\0":
        found.append(_inflate(packed[1:], MAX_PROFILE_BYTES) or None)
    if b"sRGB" in said:
        found.append(b"")
    elif b"gAMA" in said or b"cHRM" in said:
        found.append(_measured_profile(said.get(b"gAMA", b""), said.get(b"cHRM", b"")))
    return tuple(profile for profile in found if profile is not None)


def _measured_profile(gama: bytes, chrm: bytes) -> bytes | None:
    """Return the profile of a PNG's gamma and chromaticities; missing values are sRGB's."""
    encoding = int.from_bytes(gama) / 100_000 if len(gama) == 4 else 0.0
    near = abs(encoding / GAMMA_SRGB - 1) <= GAMMA_NEAR
    curve = power(1 / encoding) if 0.05 < encoding < 20 and not near else srgb
    points: Chromaticities = SRGB_PRIMARIES
    if len(chrm) == 32:
        values = [value / 100_000 for value in struct.unpack(">8I", chrm)]
        points = tuple(zip(values[::2], values[1::2], strict=True))
    return matrix_profile(points, curve) or matrix_profile(SRGB_PRIMARIES, curve)


def open_jpeg(data: bytes) -> Contents:
    """Split a JPEG; of several images in one file (MPO), keep the first."""
    kept, parts = [JPEG_START], dict[int, bytes]()
    exif = xmp = None
    announced, at = 0, 2
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0x00, 0xFF):  # junk, and bytes that fill up
            at += 1
            continue
        if marker in JPEG_ALONE:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4])
        end = at + 2 + length
        if marker == JPEG_SCAN or length < 2 or end > len(data):
            break
        body = data[at + 4 : end]
        if marker not in JPEG_APPS:
            if marker != JPEG_COMMENT:
                kept.append(data[at:end])
        elif marker in JPEG_CHANNELS and body.startswith(JPEG_CHANNELS[marker][0]):
            if len(body) >= JPEG_CHANNELS[marker][1]:
                kept.append(data[at:end])
        elif body.startswith(JPEG_EXIF):
            exif = exif or body
        elif body.startswith(JPEG_XMP):
            xmp = xmp or body[len(JPEG_XMP) :]
        elif body.startswith(JPEG_ICC) and len(body) > 14:
            announced = body[13]
            parts.setdefault(body[12], body[14:])
        at = end
    kept.append(data[at:])
    whole = announced > 0 and sorted(parts) == list(range(1, announced + 1))
    profile = b"".join(parts[number] for number in sorted(parts)) if whole else b""
    return Contents(b"".join(kept), (profile,) if profile else (), exif, xmp)


def decodes_by_rows(jpeg: bytes) -> bool:
    """Whether a split JPEG is decoded row by row: in one scan, sequentially.

    Others, above all progressive ones, keep all their coefficients in memory while decoding.
    """
    at, channels = 2, 0
    while at + 10 <= len(jpeg):
        marker = jpeg[at + 1]
        if marker in (0xC0, 0xC1):
            channels = jpeg[at + 9]
        if marker == JPEG_SCAN:
            return 0 < channels == jpeg[at + 4]
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return False
