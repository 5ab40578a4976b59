"""Tell a file's format by its first bytes: a supported one, or one worth naming to the sender."""

from model_core.errors import UnsupportedImageError

READ = "image must be JPEG, PNG, WebP, AVIF, GIF, TIFF or BMP"
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes
OTHERS = {
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"\x00\x00\x01\x00": "ICO",
    b"\xff\x0a": "JPEG XL: save it as JPEG or PNG",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL: save it as JPEG or PNG",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000: save it as JPEG or PNG",
    b"8BPS": "PSD",
}


def find_format(data: bytes) -> str:
    """Return Pillow's name for the format of a file.

    Raises:
        UnsupportedImageError: If it is not a supported one.
    """
    found = next((name for magic, name in MAGIC.items() if data.startswith(magic)), None)
    if found is not None:
        return found
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in BMP_HEADERS:
        return "BMP"
    if data[4:8] == b"ftyp":
        return _find_boxed(data)
    other = next((name for magic, name in OTHERS.items() if data.startswith(magic)), None)
    raise UnsupportedImageError(f"{READ}, got {other or 'bytes that are no image'}")


def _find_boxed(data: bytes) -> str:
    """Tell AVIF from HEIC and videos, which begin alike, by all the brands that they list."""
    box = data[: min(int.from_bytes(data[:4]), 256)]
    brands = {data[8:12], *(box[at : at + 4] for at in range(16, len(box), 4))}
    if brands.intersection(AVIF_BRANDS):
        return "AVIF"
    if brands.intersection(HEIF_BRANDS):
        raise UnsupportedImageError(
            f"{READ}, got HEIC: export it as JPEG (on an iPhone: Settings, Camera, Formats, "
            "Most Compatible; or share it by mail, which converts it)"
        )
    raise UnsupportedImageError(f"{READ}, got a video, or bytes that are no image")
