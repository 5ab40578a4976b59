"""Change the faces of a folder's photos; the same run again makes only what is missing."""

import logging
from collections.abc import Sequence
from pathlib import Path

from model_core.batch.codes import about_results, check_device
from model_core.batch.listing import Progress
from model_core.batch.output_folder import OutputFolder, remove_partial, save
from model_core.batch.pictures import (
    FaceChange,
    Pictures,
    Rendered,
    encode_changed,
    last_name,
    names_of,
    render_changed,
)
from model_core.batch.pipeline import in_two_steps
from model_core.batch.preparation import PreparedPhoto
from model_core.batch.workers import PhotoWorkers
from model_core.errors import WplusError
from model_core.predictor import Predictor
from model_core.skipped import printable

IMAGES = "images"

_log = logging.getLogger(__name__)


def change_photos(
    photos: Sequence[tuple[Path, str]],
    target: Path,
    predictor: Predictor,
    workers: PhotoWorkers,
    change: FaceChange,
    wanted: Pictures,
    progress: Progress,
) -> int:
    """Write the pictures of photos into target/images, resuming an earlier run.

    Every file is written as a whole, a photo's first one last. A photo that has that one is
    finished, so a kill at any moment loses at most the photos under way.

    Args:
        photos: Their paths, and their paths below images; in this order.
        target: Created if missing.
        predictor: Embeds and renders the faces.
        workers: Read photos and find faces.
        change: What becomes of each face.
        wanted: The pictures.
        progress: Called at the start and after each photo with the photos done, the total, and the
            faces changed so far.

    Returns:
        The number of photos that were skipped; skipped.tsv lists them. They are tried again by the
        next run.

    Raises:
        InvalidInputError: If the target was started with other settings.
        DeviceLostError, SourceLostError: If the device or the photos can no longer be reached;
            what is finished stays.
        OSError: If a file cannot be written.
    """
    settings = about_results(predictor) | change.settings | _settings(wanted)
    settings |= {
        "detail": predictor.detail_shape is not None,
        "second_glance": workers.models.second_glance is not None,
    }
    images = target / IMAGES
    with OutputFolder(target, settings) as folder:
        remove_partial(images)
        left = [each for each in photos if not (images / last_name(each[1], wanted)).exists()]
        done, faces = len(photos) - len(left), 0
        progress(done, len(photos), faces)
        reasons: dict[str, str] = {}
        prepared = workers.prepare(left, wanted.look(change, predictor))
        try:
            for photo, reason in in_two_steps(
                prepared,
                lambda photo: _render(photo, predictor, change, wanted),
                lambda photo, rendered: _write(
                    photo, rendered, change, wanted, predictor.generator_name, images
                ),
            ):
                done += 1
                if reason:
                    reasons[printable(photo.name)] = reason
                else:
                    faces += len(photo.faces)
                progress(done, len(photos), faces)
        finally:
            skipped = folder.list_skipped(reasons)
        return skipped


def _render(
    photo: PreparedPhoto, predictor: Predictor, change: FaceChange, wanted: Pictures
) -> Rendered | str:
    """Render a photo's faces, or return why not; a failure of the networks is a reason."""
    if not photo.faces:
        return photo.reason
    try:
        return render_changed(photo, predictor, change, wanted)
    except RuntimeError as err:  # torch's, also when a GPU's memory is full
        check_device(predictor)
        _log.exception("%s cannot be changed", photo.name)
        return f"it cannot be changed: {err}"


def _write(
    photo: PreparedPhoto,
    rendered: Rendered | str,
    change: FaceChange,
    wanted: Pictures,
    generator_name: str,
    images: Path,
) -> str:
    """Encode and write a photo's files, the first one last; return why not, or nothing."""
    if isinstance(rendered, str):
        return rendered
    try:
        files = encode_changed(photo, rendered, change, wanted, generator_name)
        named = list(zip(names_of(photo.name, wanted, files), files, strict=True))
        for name, data in reversed(named):
            save(images / name, data)
    except WplusError as err:
        return str(err)
    return ""


def _settings(wanted: Pictures) -> dict[str, object]:
    return {
        "output": wanted.output,
        "faces": wanted.which,
        "blend": wanted.blend,
        "format": wanted.form,
        "quality": wanted.quality,
    }
