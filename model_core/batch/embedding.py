"""Embed every face in a folder; worker processes prepare photos for the device process."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from model_core.atomic_file import partial_file, publish
from model_core.batch.codes import FACES_AT_ONCE, about_results, latents_of
from model_core.batch.listing import Progress, list_photos
from model_core.batch.output_folder import printable
from model_core.batch.preparation import Look, PreparedPhoto, Which
from model_core.batch.table import Table, schema
from model_core.batch.workers import Models, PhotoWorkers
from model_core.checkpoints.latent_files import write_latents
from model_core.errors import InvalidInputError
from model_core.predictor import Predictor
from model_core.shapes import Faces

COMPILE_FROM = 1000  # photos; compilation keeps a core busy for minutes
JPEG_QUALITY = 95
CodeFormat = Literal["npy", "safetensors"]
Row = dict[str, Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to write for each face.

    Attributes:
        which: All faces of a photo, or its largest.
        figures: Whether to measure the reconstruction's quality; needs rendering.
        images: Whether to write the reconstruction as JPEG.
        codes: Also write each code to a separate file, in this format.
        shard_photos: Photos per Parquet file.
    """

    which: Which = "all"
    figures: bool = True
    images: bool = False
    codes: CodeFormat | None = None
    shard_photos: int = 256


def embed_folder(
    source: Path,
    target: Path,
    predictor: Predictor,
    landmark_model: Path,
    wanted: Wanted,
    workers: int,
    progress: Progress,
    second_glance: Path | None = None,
) -> int:
    """Embed the photos of a folder and its subfolders into a table, resuming an earlier run.

    As `embed_photos`, with workers for this folder alone.

    Args:
        source: Folder of photos.
        target: Folder of the table; created if missing.
        predictor: Embeds the faces, and renders them for images or figures.
        landmark_model: dlib's 68 landmarks.
        wanted: What to write.
        workers: Number of processes that read photos and find faces.
        progress: As for `embed_photos`.
        second_glance: Detector for photos in which dlib's finds no face; None leaves that out.

    Returns:
        The number of photos without a face.

    Raises:
        InvalidInputError: As for `embed_photos`, or if there is no worker.
    """
    with PhotoWorkers(workers, Models(landmark_model, second_glance)) as started:
        return embed_photos(source, target, predictor, started, wanted, progress)


def embed_photos(
    source: Path,
    target: Path,
    predictor: Predictor,
    workers: PhotoWorkers,
    wanted: Wanted,
    progress: Progress,
) -> int:
    """Embed the photos of a folder and its subfolders into a table, resuming an earlier run.

    Photos are processed in the order of their names. Finished shards are never computed again and
    unfinished ones start over, so a kill at any moment loses at most one shard.

    Args:
        source: Folder of photos.
        target: Folder of the table; created if missing.
        predictor: Embeds the faces, and renders them for images or figures.
        workers: Read photos and find faces.
        wanted: What to write.
        progress: Called at the start and after each photo with the photos done, the total, and the
            faces found so far.

    Returns:
        The number of photos without a face.

    Raises:
        InvalidInputError: If the folder has no photos, the shards are too small, or the target was
            started with other settings.
    """
    if wanted.shard_photos < 1:
        raise InvalidInputError(f"shard must be 1 or more, got {wanted.shard_photos}")
    photos = [(photo, printable(name)) for photo, name in list_photos(source, target)]
    about = about_results(predictor)
    shape = (predictor.num_ws, predictor.w_dim)
    found_by = {"faces": wanted.which, "second_glance": workers.models.second_glance is not None}
    with Table(target, schema(shape, about), about | found_by | _extras(wanted)) as table:
        done = table.finished()
        left = [(photo, name) for photo, name in photos if name not in done]
        if len(left) >= COMPILE_FROM:
            predictor.import_compiler()
            predictor.start_compiling()
        faces = 0
        progress(len(photos) - len(left), len(photos), faces)
        rows: list[Row] = []
        for number, photo in enumerate(workers.prepare(left, Look(wanted.which)), start=1):
            rows += _rows_or_reason(photo, predictor, target, wanted)
            faces += len(photo.faces)
            progress(len(photos) - len(left) + number, len(photos), faces)
            if number % wanted.shard_photos == 0 or number == len(left):
                table.write(rows)
                rows = []
        return table.list_skipped()


def _extras(wanted: Wanted) -> Row:
    return {"figures": wanted.figures, "images": wanted.images, "codes": wanted.codes}


def _rows_or_reason(
    photo: PreparedPhoto, predictor: Predictor, target: Path, wanted: Wanted
) -> list[Row]:
    """Embed a photo's faces, a few at a time; a failure of the networks is the photo's reason."""
    if not photo.faces:
        return [{"file": photo.name, "faces": 0, "reason": photo.reason}]
    rows: list[Row] = []
    try:
        for start in range(0, len(photo.faces), FACES_AT_ONCE):
            rows += _rows(photo, start, predictor, target, wanted)
    except RuntimeError as err:  # torch's, also when a GPU's memory is full
        _log.exception("%s cannot be embedded", photo.name)
        return [{"file": photo.name, "faces": 0, "reason": f"it cannot be embedded: {err}"}]
    return rows


def _rows(
    photo: PreparedPhoto, first: int, predictor: Predictor, target: Path, wanted: Wanted
) -> list[Row]:
    """Embed some of a photo's faces, write the requested files and return the rows."""
    part = photo.faces[first : first + FACES_AT_ONCE]
    faces: Faces = np.stack([face.image for face in part])
    ws = predictor.embed(faces)
    rows: list[Row] = [
        {
            "file": photo.name,
            "face": index,
            "faces": len(photo.faces),
            "box": face.box,
            "landmarks": face.landmarks.ravel(),
            "score": face.score,
            "code": code.numpy().ravel(),
        }
        for index, (face, code) in enumerate(zip(part, ws, strict=True), start=first)
    ]
    if wanted.codes:
        for index, code in enumerate(ws, start=first):
            place = _place(target / "codes", photo.name, index, wanted.codes)
            write_latents(place, {"ws": code}, predictor.fingerprint)
    if wanted.figures or wanted.images:
        images = predictor.render(latents_of(predictor, faces, ws))
        if wanted.images:
            for index, image in enumerate(images, start=first):
                place = _place(target / "images", photo.name, index, "jpg")
                with partial_file(place) as file:
                    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
                    publish(file, place, durable=False)
        if wanted.figures:
            for row, quality in zip(rows, predictor.quality(faces, images), strict=True):
                row |= {
                    "psnr": quality.psnr,
                    "ssim": quality.ssim,
                    "lpips": quality.lpips,
                    "identity_similarity": quality.identity_similarity,
                    "same_person": quality.same_person,
                }
    return rows


def _place(folder: Path, name: str, index: int, suffix: str) -> Path:
    """Return the path of a face's file: ann.jpg's second face is in ann.jpg.1.jpg."""
    place = folder / f"{name}.{index}.{suffix}"
    place.parent.mkdir(parents=True, exist_ok=True)
    return place
