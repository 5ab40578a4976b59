"""Cut the faces of a whole folder of photos, in parallel; what is done is not done again."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from model_core.alignment.ffhq import FaceAligner
from model_core.errors import InvalidInputError, WplusError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

_aligner: FaceAligner | None = None


def align_folder(
    source: Path,
    target: Path,
    landmark_model: Path,
    size_px: int,
    workers: int,
    on_photo: Callable[[Path, str], object],
) -> None:
    """Write the largest face of every photo of a folder and those below it, as PNG.

    A crop lies where its photo does, relative to the folders, and is written whole or not at all.

    Args:
        source: Folder of photos.
        target: Folder of crops; made if there is none.
        landmark_model: dlib's 68 landmarks.
        size_px: Side of the crops.
        workers: Processes.
        on_photo: Told of every photo and why it was left out, "" where it was not.

    Raises:
        InvalidInputError: If the folder holds no photo.
    """
    photos = sorted(f for f in source.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not photos:
        raise InvalidInputError(f"source must be a folder with photos, got {source}")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _load, (landmark_model,)) as pool:
        cut = partial(_align, source=source, target=target, size_px=size_px)
        for photo, reason in zip(photos, pool.map(cut, photos), strict=True):
            on_photo(photo, reason)


def _load(landmark_model: Path) -> None:
    """Give a worker its own aligner."""
    global _aligner
    _aligner = FaceAligner(landmark_model)


def _align(photo: Path, source: Path, target: Path, size_px: int) -> str:
    """Cut one photo's face; return why it was left out, or nothing."""
    out = target / photo.relative_to(source).with_suffix(".png")
    if out.exists():
        return ""
    if _aligner is None:
        raise RuntimeError("_load must be called first")
    try:
        with Image.open(photo) as opened:
            rgb = np.array(ImageOps.exif_transpose(opened).convert("RGB"))
        crop = _aligner.crop(rgb, 0, size_px)
    except (WplusError, OSError, Image.DecompressionBombError) as err:
        return str(err)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial_file = out.with_suffix(".partial")
    Image.fromarray(crop.image).save(partial_file, "PNG")
    partial_file.replace(out)
    return ""
