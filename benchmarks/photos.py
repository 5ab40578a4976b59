"""Photos that anyone can make again: scikit-image's astronaut, and faces drawn by the generator."""

import io

import httpx2 as httpx
import skimage.data
from PIL import Image


def astronaut(width: int = 1024, height: int = 1024) -> bytes:
    """Return a public-domain portrait as a JPEG."""
    return jpeg(Image.fromarray(skimage.data.astronaut()).resize((width, height)))


def drawn(url: str, seed: int) -> bytes:
    """Have the service draw a face, 1024 px, JPEG."""
    answer = httpx.post(
        f"{url}/generate", params={"seed": seed}, headers={"Accept": "image/jpeg"}, timeout=60
    )
    return answer.raise_for_status().content


def crowd(face: bytes, count: int, side: int = 4, cell_px: int = 512) -> bytes:
    """Lay a face on a grey square photo some times; the photo is of one size whatever the count."""
    cell = Image.open(io.BytesIO(face)).resize((cell_px, cell_px))
    photo = Image.new("RGB", (side * cell_px, side * cell_px), (128, 128, 128))
    for i in range(count):
        photo.paste(cell, (i % side * cell_px, i // side * cell_px))
    return jpeg(photo)


def jpeg(image: Image.Image) -> bytes:
    """Write a JPEG as cameras do."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    return out.getvalue()
