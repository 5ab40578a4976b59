"""Draw the picture of the README with a running service: python docs/overview.py [URL]."""

import io
import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from model_core.alignment.ffhq import FaceAligner
from model_core.weights.cache import LANDMARKS, cache_folder, weight_path
from wplus_client import Client, Face

SEEDS = (27, 61)
SIDE_PX = 256
OUT = Path(__file__).with_name("overview.jpg")


def small(face: Face | np.ndarray) -> np.ndarray:
    """Bring an image to the size of a cell."""
    image = face.pil() if isinstance(face, Face) else Image.fromarray(face)
    return np.asarray(image.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS))


def main(url: str) -> None:
    """Draw a row for each face: photo, one pass, smile, older, head turned, blend."""
    client = Client(url)
    aligner = FaceAligner(weight_path(cache_folder(None), LANDMARKS))
    photos = [aligner.crop(skimage.data.astronaut(), size=1024).image]
    photos += [np.asarray(client.generate(seed=seed, format="png").pil()) for seed in SEEDS]
    codes = [client.embed(photo, align="none") for photo in photos]
    rows = []
    for i, (photo, code) in enumerate(zip(photos, codes, strict=True)):
        cells = [photo, client.generate(code), client.edit(code, "smile", 2.0)]
        cells += [client.edit(code, "age", 15), client.edit(code, "pose", 1.5)]
        cells.append(client.morph(code, codes[(i + 1) % len(codes)], lam=0.5))
        rows.append(np.concatenate([small(cell) for cell in cells], axis=1))
    out = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(out, "JPEG", quality=88)
    OUT.write_bytes(out.getvalue())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
