"""Embed every face in a folder; worker processes prepare photos for the device process."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from model_core.batch.codes import about_results, check_device, faces_at_once, latents_of
from model_core.batch.listing import Progress, list_photos
from model_core.batch.output_folder import check_name, save
from model_core.batch.pipeline import in_two_steps
from model_core.batch.preparation import Look, PreparedPhoto, Which
from model_core.batch.table import Table, schema
from model_core.batch.workers import Models, PhotoWorkers
from model_core.checkpoints.latent_files import write_latents
from model_core.errors import InvalidInputError, WplusError
from model_core.output.encoding import encode_image
from model_core.output.provenance import GENERATED, system_version, xmp_packet
from model_core.predictor import Predictor
from model_core.shapes import Codes, Faces
from model_core.skipped import printable

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
        DeviceLostError, SourceLostError: If the device or the photos can no longer be reached;
            what is finished stays.
    """
    if wanted.shard_photos < 1:
        raise InvalidInputError(f"shard must be 1 or more, got {wanted.shard_photos}")
    photos = [(photo, printable(name)) for photo, name in list_photos(source, target)]
    about = about_results(predictor)
    shape = (predictor.num_ws, predictor.w_dim)
    settings = settings_of(about, wanted, workers.models.second_glance is not None)
    with Table(target, schema(shape, about), settings) as table:
        done = table.finished()
        left = [(photo, name) for photo, name in photos if name not in done]
        if len(left) >= COMPILE_FROM:
            predictor.import_compiler()
            predictor.start_compiling()
        faces = 0
        progress(len(photos) - len(left), len(photos), faces)
        rows: list[Row] = []
        prepared = workers.prepare(left, Look(wanted.which))
        embedded = rows_of(prepared, predictor, target, wanted)
        for number, (photo, photo_rows) in enumerate(embedded, start=1):
            rows += photo_rows
            faces += len(photo.faces)
            progress(len(photos) - len(left) + number, len(photos), faces)
            if number % wanted.shard_photos == 0 or number == len(left):
                table.write(rows)
                rows = []
        return table.list_skipped()


def settings_of(about: Row, wanted: Wanted, second_glance: bool) -> Row:
    """Return everything that a table's rows depend on.

    Args:
        about: From `about_results`.
        wanted: What is written.
        second_glance: Whether there is a second detector.
    """
    return about | {
        "faces": wanted.which,
        "second_glance": second_glance,
        "figures": wanted.figures,
        "images": wanted.images,
        "codes": wanted.codes,
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    """The faces of a photo after the device's part.

    Attributes:
        rows: Their rows, without figures.
        faces: The faces.
        ws: Their codes.
        images: Their reconstructions; None unless needed.
    """

    rows: list[Row]
    faces: Faces
    ws: Codes
    images: UInt8[np.ndarray, "batch height width 3"] | None


def rows_of(
    prepared: Iterable[PreparedPhoto], predictor: Predictor, target: Path, wanted: Wanted
) -> Iterator[tuple[PreparedPhoto, list[Row]]]:
    """Embed photos; measure each one while the next is embedded."""
    return in_two_steps(
        prepared,
        lambda photo: _embed(photo, predictor, wanted),
        lambda photo, embedded: _finish(photo, embedded, predictor, target, wanted),
    )


def _embed(photo: PreparedPhoto, predictor: Predictor, wanted: Wanted) -> list[_Embedded] | str:
    """Embed and render a photo's faces, a few at a time, or return why not."""
    if not photo.faces:
        return photo.reason
    count = faces_at_once(predictor)
    try:
        return [
            _embed_some(photo, first, count, predictor, wanted)
            for first in range(0, len(photo.faces), count)
        ]
    except RuntimeError as err:  # torch's, also when a GPU's memory is full
        return _failure(photo, predictor, err)


def _embed_some(
    photo: PreparedPhoto, first: int, count: int, predictor: Predictor, wanted: Wanted
) -> _Embedded:
    part = photo.faces[first : first + count]
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
    images = None
    if wanted.figures or wanted.images:
        images = predictor.render(latents_of(predictor, faces, ws))
    return _Embedded(rows, faces, ws, images)


def _finish(
    photo: PreparedPhoto,
    embedded: list[_Embedded] | str,
    predictor: Predictor,
    target: Path,
    wanted: Wanted,
) -> list[Row]:
    """Write the requested files and measure the reconstructions; return the rows."""
    reason = embedded if isinstance(embedded, str) else ""
    if not isinstance(embedded, str):
        try:
            for part in embedded:
                _write_files(part, predictor, target, wanted)
                if wanted.figures and part.images is not None:
                    _measure(part, part.images, predictor)
            return [row for part in embedded for row in part.rows]
        except WplusError as err:
            reason = str(err)
        except RuntimeError as err:
            reason = _failure(photo, predictor, err)
    return [{"file": photo.name, "faces": 0, "reason": reason}]


def _failure(photo: PreparedPhoto, predictor: Predictor, err: RuntimeError) -> str:
    check_device(predictor)
    _log.error("%s cannot be embedded", photo.name, exc_info=err)
    return f"it cannot be embedded: {err}"


def _write_files(part: _Embedded, predictor: Predictor, target: Path, wanted: Wanted) -> None:
    for number, (row, code) in enumerate(zip(part.rows, part.ws, strict=True)):
        if wanted.codes:
            place = target / "codes" / f"{row['file']}.{row['face']}.{wanted.codes}"
            check_name(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_latents(place, {"ws": code}, predictor.fingerprint)
        if wanted.images and part.images is not None:
            xmp = xmp_packet(GENERATED, system_version(predictor.generator_name))
            data = encode_image(part.images[number], "jpeg", JPEG_QUALITY, xmp)
            place = target / "images" / f"{row['file']}.{row['face']}.jpg"
            save(place, data, durable=False)


def _measure(
    part: _Embedded, images: UInt8[np.ndarray, "batch height width 3"], predictor: Predictor
) -> None:
    """Add the figures to the rows."""
    for row, quality in zip(part.rows, predictor.quality(part.faces, images), strict=True):
        row |= {
            "psnr": quality.psnr,
            "ssim": quality.ssim,
            "lpips": quality.lpips,
            "identity_similarity": quality.identity_similarity,
            "same_person": quality.same_person,
        }
