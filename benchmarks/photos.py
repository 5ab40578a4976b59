"""Reproducible photos: scikit-image's astronaut, and generated faces."""

import io

import httpx2 as httpx
import skimage.data
from PIL import Image, ImageChops, ImageOps


def astronaut(width: int = 1024, height: int = 1024) -> bytes:
    """Return a public-domain portrait as a JPEG."""
    return jpeg(Image.fromarray(skimage.data.astronaut()).resize((width, height)))


def shifted(photo: bytes, count: int = 31) -> list[bytes]:
    """Return a photo as JPEGs, each a pixel further to the right, wrapping around at the edge."""
    image = Image.open(io.BytesIO(photo))
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image).convert("RGB")
    return [jpeg(ImageChops.offset(image, i, 0), profile) for i in range(count)]


def drawn(url: str, seed: int) -> bytes:
    """Let the service generate a face as a 1024 px JPEG."""
    answer = httpx.post(
        f"{url}/generate", params={"seed": seed}, headers={"Accept": "image/jpeg"}, timeout=60
    )
    return answer.raise_for_status().content


def crowd(face: bytes, count: int, side: int = 4, cell_px: int = 512) -> bytes:
    """Paste a face several times into a grey square photo of fixed size."""
    cell = Image.open(io.BytesIO(face)).resize((cell_px, cell_px))
    photo = Image.new("RGB", (side * cell_px, side * cell_px), (128, 128, 128))
    for i in range(count):
        photo.paste(cell, (i % side * cell_px, i // side * cell_px))
    return jpeg(photo)


def jpeg(image: Image.Image, profile: bytes | None = None) -> bytes:
    """Encode a JPEG with a camera's typical settings, and a colour profile if there is one."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, icc_profile=profile)
    return out.getvalue()
