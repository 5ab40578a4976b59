"""A frame of a film that is being edited: the first one of the latest part that is finished."""

from pathlib import Path

from model_core.films.colour import read_colour
from model_core.films.extra import load_av
from model_core.shapes import Pixels
from service.errors import NoResultError
from service.handlers.runtime import Runtime
from service.jobs.store import Fields

SEGMENTS = "work-*/segment-*.nut"


async def film_preview(runtime: Runtime, fields: Fields) -> Pixels:
    """Decode a frame that a job has edited.

    Raises:
        NoResultError: If no part is finished, or the film has been deleted.
        FilmElsewhereError: If it is not known where it is.
    """
    films = await runtime.jobs.films.kept()
    folder = films.of_job(fields["id"])
    result = None if "result" not in fields else films.result(fields["id"], fields["result"])
    pixels = await runtime.in_worker(_first_frame, folder, result)
    if pixels is None:
        raise NoResultError("No part of the film has been edited yet, or it has been deleted.")
    return pixels


def _first_frame(folder: Path, result: Path | None) -> Pixels | None:
    av = load_av()
    try:
        path = result or max(folder.glob(SEGMENTS), key=lambda each: each.name, default=None)
        if path is None:
            return None
        with av.open(str(path)) as film:
            frame = next(film.decode(video=0))
            return read_colour(frame).to_rgb(frame, (frame.width, frame.height))
    except (OSError, StopIteration, av.FFmpegError):  # it is being joined, or deleted
        return None
