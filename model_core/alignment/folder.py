"""Crop the faces of a whole folder of photos, in parallel; finished crops are not redone."""

import hashlib
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model_core.alignment.ffhq import MAX_SIZE_PX, FaceAligner
from model_core.atomic_file import partial_file, publish
from model_core.errors import InvalidInputError, WplusError
from model_core.photos.damage import DAMAGE
from model_core.photos.reader import PhotoLimits, harden, read_photo

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp"}
SUFFIXES |= {".tif", ".tiff", ".heic", ".heif"}  # the last two so that skipping them is reported
LIMITS = PhotoLimits(min_side_px=64)
MAX_BYTES = 500_000_000
CUT_FROM = "wplus-cut-from"
"""PNG text of a crop: the photo's digest and the size, so that a changed photo is cropped again."""

_aligner: FaceAligner | None = None


def align_folder(
    source: Path,
    target: Path,
    landmark_model: Path,
    size_px: int,
    workers: int,
    on_photo: Callable[[Path, str], object],
) -> None:
    """Write the largest face of every photo in a folder and its subfolders as PNG.

    Each crop is written completely or not at all, under its photo's relative path with the suffix
    .png; if photos differ only in their suffix (ann.jpg, ann.png), that is kept (ann.jpg.png). The
    target may be inside the source: crops are not cropped again.

    Args:
        source: Folder of photos.
        target: Folder of crops; created if missing.
        landmark_model: dlib's 68 landmarks.
        size_px: Side of the crops, 1 to 1024.
        workers: Number of processes.
        on_photo: Called with every photo and why it was skipped, or "" if it was not.

    Raises:
        InvalidInputError: If the folder holds no photo, or a number is out of range.
    """
    if not 1 <= size_px <= MAX_SIZE_PX:
        raise InvalidInputError(f"size must be 1 to {MAX_SIZE_PX}, got {size_px}")
    if workers < 1:
        raise InvalidInputError(f"workers must be 1 or more, got {workers}")
    if source.resolve() == target.resolve():
        raise InvalidInputError(f"target must be another folder than the photos', got {target}")
    photos = find_photos(source, target)
    if not photos:
        raise InvalidInputError(f"source must be a folder with photos, got {source}")
    jobs = list(zip(photos, _outputs(photos, source, target), strict=True))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _load, (landmark_model,)) as pool:
        reasons = pool.map(partial(_align, size_px=size_px), *zip(*jobs, strict=True))
        for photo, reason in zip(photos, reasons, strict=True):
            on_photo(photo, reason)


def find_photos(source: Path, target: Path) -> list[Path]:
    """Return the photos in a folder and its subfolders, in order, except those in the target."""
    crops = target.resolve()
    found = []
    for folder, below, names in os.walk(source, followlinks=False):
        here = Path(folder)
        below[:] = [name for name in below if (here / name).resolve() != crops]
        files = (here / name for name in names)
        found += [f for f in files if f.suffix.lower() in SUFFIXES and not f.name.startswith(".")]
    return sorted(found, key=os.fsencode)


def _outputs(photos: Iterable[Path], source: Path, target: Path) -> list[Path]:
    """Return each crop's path, all different even where case is ignored."""
    places = [photo.relative_to(source) for photo in photos]
    plain = [place.with_suffix(".png") for place in places]
    often = Counter(os.fsencode(place).lower() for place in plain)
    return [
        target / (short if often[os.fsencode(short).lower()] == 1 else f"{place}.png")
        for place, short in zip(places, plain, strict=True)
    ]


def _load(landmark_model: Path) -> None:
    """Give a worker its own aligner."""
    global _aligner
    harden(LIMITS)
    _aligner = FaceAligner(landmark_model)


def _align(photo: Path, out: Path, size_px: int) -> str:
    """Crop one photo's face; return why it was skipped, or nothing."""
    if _aligner is None:
        raise RuntimeError("_load must be called first")
    try:
        if not photo.is_file():
            return "image must be a file, got a broken link or something else"
        if (size_bytes := photo.stat().st_size) > MAX_BYTES:
            return f"image must have at most {MAX_BYTES} bytes, got {size_bytes}"
        data = photo.read_bytes()
        cut_from = json.dumps({"sha256": hashlib.sha256(data).hexdigest(), "size": size_px})
        if out.exists():
            known = _cut_from(out)
            if known is None:
                return f"{out.name} already exists, and this command did not make it: remove it"
            if known == cut_from:
                return ""
        crop = _aligner.crop(read_photo(data, LIMITS).pixels, 0, size_px)
    except (WplusError, OSError) as err:
        return str(err)
    out.parent.mkdir(parents=True, exist_ok=True)
    text = PngInfo()
    text.add_text(CUT_FROM, cut_from)
    with partial_file(out) as file:
        Image.fromarray(crop.image).save(file, "PNG", pnginfo=text)
        publish(file, out, durable=False)  # the next run redoes what a power cut destroys
    return ""


def _cut_from(out: Path) -> str | None:
    """Return what a crop says it was cropped from; None if it is not ours, or is damaged."""
    try:
        with Image.open(out, formats=("PNG",)) as crop:
            return crop.info.get(CUT_FROM)
    except DAMAGE:
        return None
