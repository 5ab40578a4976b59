"""Write the frames of a morph, and an animation of them; finished frames are not made again."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from model_core.batch.codes import about_results
from model_core.batch.output_folder import OutputFolder, digest, remove_partial, save
from model_core.batch.single import read_people
from model_core.batch.workers import PhotoWorkers
from model_core.errors import InvalidInputError
from model_core.latents.latent import Latent
from model_core.latents.morphing import MorphStep, Rows, morph_steps, without_blending
from model_core.output.encoding import (
    Format,
    encode_gif,
    encode_image,
    encode_webp_animation,
    shrink,
)
from model_core.output.provenance import GENERATED, system_version, xmp_packet
from model_core.predictor import Predictor
from model_core.shapes import Pixels

FRAMES = "frames"
ANIMATION = "morph"
ALL_ROWS = Rows()
MAX_STEPS = 300  # an animation's frames are in memory together, 3 MB each
Animation = Literal["webp", "gif", "none"]


@dataclass(frozen=True, slots=True)
class Morph:
    """What a morph looks like.

    Attributes:
        steps: Frames from the first person to the last, both included.
        rows: The rows of the codes that are blended.
        form: Format of the frames.
        quality: 1 to 100, of JPEG and WebP.
        size_px: Side of the frames, at most the generator's.
        animation: Format of the animation; none leaves it out.
        frame_ms: Duration of its frames.
        there_and_back: Whether it returns to the first person.
    """

    steps: int
    rows: Rows = ALL_ROWS
    form: Format = "jpeg"
    quality: int = 95
    size_px: int = 1024
    animation: Animation = "webp"
    frame_ms: int = 100
    there_and_back: bool = True


def morph_photos(
    photos: Sequence[Path],
    target: Path,
    predictor: Predictor,
    workers: PhotoWorkers,
    morph: Morph,
    progress: Callable[[int, int], object],
) -> None:
    """Go from the largest face of each photo to the next one's, resuming an earlier run.

    The frames are target/frames/0000.jpg and so on, the animation is target/morph.webp. The frame
    of a person is the reconstruction of their photo, with its detail; the details of both people
    are blended between them.

    Args:
        photos: Two or more.
        target: Created if missing.
        predictor: Embeds and renders the faces.
        workers: Read photos and find faces.
        morph: What it looks like.
        progress: Called with the frames that are finished, and their number.

    Raises:
        InvalidInputError: If a photo shows no face, a number is out of range, or the target was
            started with other settings.
        OSError: If a file cannot be read or written.
    """
    check_morph(photos, morph)
    settings = about_results(predictor) | {
        "change": "morph",
        "photos": [digest(photo) for photo in photos],
        "detail": predictor.detail_shape is not None,
        "steps": morph.steps,
        "rows": [morph.rows.first, morph.rows.last],
        "format": morph.form,
        "quality": morph.quality,
        "size": morph.size_px,
        "animation": [morph.animation, morph.frame_ms, morph.there_and_back],
    }
    xmp = xmp_packet(GENERATED, system_version(predictor.generator_name))
    suffix = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}[morph.form]
    places = [target / FRAMES / f"{index:04d}{suffix}" for index in range(morph.steps)]
    with OutputFolder(target, settings):
        remove_partial(target / FRAMES)
        remove_partial(target, below=False)  # OUT may hold folders that others are writing
        missing = [index for index, place in enumerate(places) if not place.exists()]
        progress(len(places) - len(missing), len(places))
        if missing:
            people = read_people(photos, predictor, workers)
            steps = list(morph_steps(people, morph.steps, morph.rows))
        for done, index in enumerate(missing, start=len(places) - len(missing) + 1):
            latent = _latent(predictor, people, steps[index], morph.rows)
            pixels = shrink(predictor.render([latent])[0], morph.size_px)
            save(places[index], encode_image(pixels, morph.form, morph.quality, xmp))
            progress(done, len(places))
        animation = target / f"{ANIMATION}.{morph.animation}"
        if morph.animation != "none" and not animation.exists():
            save(animation, _animated([_read(place) for place in places], morph, xmp))


def check_morph(photos: Sequence[Path], morph: Morph) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        InvalidInputError: If a photo is missing or a number is out of range.
    """
    if len(photos) < 2:
        raise InvalidInputError(f"photos must be 2 or more, got {len(photos)}")
    for photo in photos:
        if not photo.is_file():
            raise InvalidInputError(f"photos must be files, got {photo}")
    for name, value, low, high in (
        ("steps", morph.steps, len(photos), MAX_STEPS),
        ("quality", morph.quality, 1, 100),
        ("size", morph.size_px, 64, 1024),
        ("frame-ms", morph.frame_ms, 20, 5000),
    ):
        if not low <= value <= high:
            raise InvalidInputError(f"{name} must be from {low} to {high}, got {value}")


def _latent(predictor: Predictor, people: Sequence[Latent], step: MorphStep, rows: Rows) -> Latent:
    a, b = people[step.first], people[step.first + 1]
    plain = without_blending(a, b, step.ws, rows)
    return predictor.blend(a, b, step.lam, step.ws) if plain is None else plain


def _read(place: Path) -> Pixels:
    with Image.open(io.BytesIO(place.read_bytes())) as image:
        return np.asarray(image.convert("RGB"))


def _animated(frames: list[Pixels], morph: Morph, xmp: bytes) -> bytes:
    if morph.there_and_back:
        frames = frames + frames[-2:0:-1]
    if morph.animation == "gif":
        return encode_gif(frames, morph.frame_ms, xmp)
    return encode_webp_animation(frames, morph.frame_ms, morph.quality, xmp)
