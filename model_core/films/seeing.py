"""The first pass: read a film and keep, part by part, who is where in each frame."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from model_core.atomic_file import write_file
from model_core.errors import InvalidInputError, NoFaceError
from model_core.films.cuts import find_jumps
from model_core.films.editor import FilmEditor
from model_core.films.observations import read_seen, read_times, write_seen
from model_core.films.observing import CUT_BYTES, Observer, SeenFrame
from model_core.films.planning import Plan, make_plan
from model_core.films.progress import Caller
from model_core.films.reading import open_film
from model_core.films.smoothing import CROPS, NONE
from model_core.films.tracking import link, persons
from model_core.films.work import WorkFolder

PART_FRAMES = 120


def see_film(source: Path, editor: FilmEditor, work: WorkFolder, caller: Caller) -> int:
    """See all frames that have not been seen before; return the number of frames.

    Raises:
        FilmRejectedError: As `Film.frames` raises.
        Stopped: If the caller wants no more.
    """
    if work.seen.exists():
        return int(json.loads(work.seen.read_text())["frames"])
    parts = list(_parts(work))
    last = read_seen(parts[-1])[-1] if parts else None
    observer = Observer(editor.predictor, editor.aligner)
    part: list[SeenFrame] = []
    known = frame_times(work)
    count = len(known)
    with open_film(source, editor.limits) as film:
        for frame in film.frames(count, known, caller.check):
            last = observer.see(frame.index, frame.pts, frame.pixels(), last)
            part.append(last)
            count = frame.index + 1
            if count % PART_FRAMES == 0:
                write_seen(work.observations(count // PART_FRAMES - 1), part)
                part = []
            total = film.frames_expected  # an index may hold a part of the film only
            caller.report("read", count, None if total is not None and total < count else total)
        if part:
            write_seen(work.observations(count // PART_FRAMES), part)
        about = {"frames": count, "time_base": str(film.time_base)}
    write_file(work.seen, json.dumps(about).encode())
    return count


def plan_film(editor: FilmEditor, work: WorkFolder, time_base: float, caller: Caller) -> Plan:
    """Choose the person to be edited and plan all frames.

    Raises:
        NoFaceError: If no frame shows a face.
        InvalidInputError: If fewer persons are seen than `face` asks for.
        Stopped: If the caller wants no more.
    """
    times, changes = [], []
    for frame in _frames(work):
        times.append(frame.pts * time_base)
        changes.append(frame.change)
    cuts = find_jumps(np.array(changes), CUT_BYTES)
    tracks = link((i, frame, bool(cuts[i])) for i, frame in enumerate(_frames(work)))
    known = persons(tracks, caller.check)
    if not known:
        raise NoFaceError(
            f"no face was found in the film's {len(times)} frames: it must look at the camera, be "
            "well lit, and be larger than about 80 pixels"
        )
    if not 0 <= editor.face < len(known):
        rule = f"0 to {len(known) - 1}, as {len(known)} persons were found"
        one = "0, as 1 person was found"
        raise InvalidInputError(
            f"face must be {rule if len(known) > 1 else one}, got {editor.face}"
        )
    smoother = CROPS if editor.smoothed else NONE
    return make_plan(known[editor.face], np.array(times), cuts, smoother)


def frame_times(work: WorkFolder) -> list[int]:
    """Return when the frames that have been seen are shown, in the film's time base."""
    return [pts for part in _parts(work) for pts in read_times(part)]


def _frames(work: WorkFolder) -> Iterator[SeenFrame]:
    for part in _parts(work):
        yield from read_seen(part)


def _parts(work: WorkFolder) -> Iterator[Path]:
    parts = (work.observations(number) for number in itertools.count())
    return itertools.takewhile(Path.exists, parts)
