"""One photo instead of a folder: its face's latent, or its changed picture as one file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from model_core.batch.codes import faces_at_once, latents_of
from model_core.batch.output_folder import save
from model_core.batch.pictures import FaceChange, Pictures, encode_changed, render_changed
from model_core.batch.preparation import Look, PreparedPhoto
from model_core.batch.workers import PhotoWorkers
from model_core.errors import InvalidInputError
from model_core.latents.latent import Latent
from model_core.output.encoding import Format
from model_core.predictor import Predictor
from model_core.shapes import Faces

FORMATS: dict[str, Format] = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}


def read_people(
    photos: Sequence[Path], predictor: Predictor, workers: PhotoWorkers
) -> list[Latent]:
    """Embed the largest face of each photo.

    Args:
        photos: The photos.
        predictor: Embeds the faces.
        workers: Read photos and find faces.

    Raises:
        InvalidInputError: If a photo shows no face or cannot be read.
    """
    prepared = workers.prepare([(photo, str(photo)) for photo in photos], Look("largest"))
    crops = [_require_face(photo).faces[0].image for photo in prepared]
    people: list[Latent] = []
    count = faces_at_once(predictor)
    for start in range(0, len(crops), count):
        faces: Faces = np.stack(crops[start : start + count])
        people += latents_of(predictor, faces, predictor.embed(faces))
    return people


def change_one(
    photo: Path,
    target: Path,
    predictor: Predictor,
    workers: PhotoWorkers,
    change: FaceChange,
    wanted: Pictures,
) -> None:
    """Write the picture of one photo; its largest face, if the picture is of a face.

    Args:
        photo: The photo.
        target: The file, whose suffix says its format.
        predictor: Embeds and renders the faces.
        workers: Read photos and find faces.
        change: What becomes of each face.
        wanted: The picture, of the format that the target has.

    Raises:
        InvalidInputError: If the photo shows no face or cannot be read, or target is the photo.
        OSError: If the file cannot be written.
    """
    if target.resolve() == photo.resolve():
        raise InvalidInputError(f"OUT must be another file than the photo, got {target}")
    wanted = replace(wanted, which=wanted.which if wanted.output == "photo" else "largest")
    look = wanted.look(change, predictor)
    (prepared,) = workers.prepare([(photo, str(photo))], look)
    rendered = render_changed(_require_face(prepared), predictor, change, wanted)
    (data,) = encode_changed(prepared, rendered, change, wanted, predictor.generator_name)
    save(target, data)


def _require_face(photo: PreparedPhoto) -> PreparedPhoto:
    """Return a photo that shows a face.

    Raises:
        InvalidInputError: If it does not.
    """
    if not photo.faces:
        raise InvalidInputError(f"{photo.name}: {photo.reason}")
    return photo
