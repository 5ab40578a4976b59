"""Edit one person's face in a film: read it, plan, edit segment by segment, join.

Everything is kept in a work folder as it is finished, so that a run that was killed continues where
it was.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from model_core.atomic_file import PARTIAL, write_file
from model_core.compositing.pasting import Blend
from model_core.errors import InvalidInputError
from model_core.films.editor import FilmEditor
from model_core.films.joining import check_target, join
from model_core.films.planning import Plan
from model_core.films.progress import Caller, FilmProgress
from model_core.films.reading import open_film
from model_core.films.seeing import frame_times, plan_film, see_film
from model_core.films.segments import (
    SEGMENT_FRAMES,
    SegmentEditor,
    choose_blend,
    read_flicker,
)
from model_core.films.work import WorkFolder
from model_core.weights.files import file_digest

__all__ = ["FilmEditor", "FilmProgress", "FilmReport", "edit_film"]

COMPILE_FROM = 1000  # frames with the face; compilation keeps a core busy for minutes


@dataclass(frozen=True, slots=True)
class FilmReport:
    """What was done to a film.

    Attributes:
        frames: Frames.
        frames_with_face: Those that were edited.
        flicker: How many times as much the edited face changes from frame to frame as the
            source's; None if that cannot be said.
        sound: Whether there is any.
        width_px: Of the edited film.
        height_px: Likewise.
        seconds: Duration.
    """

    frames: int
    frames_with_face: int
    flicker: float | None
    sound: bool
    width_px: int
    height_px: int
    seconds: float


def edit_film(
    source: Path,
    target: Path,
    editor: FilmEditor,
    *,
    work: Path,
    progress: Callable[[FilmProgress], object],
    should_stop: Callable[[], bool],
) -> FilmReport:
    """Edit a film.

    A run that was stopped or killed continues when it is started with the same film, editor and
    work folder, and gives the same film.

    Args:
        source: The film.
        target: The edited film: .mp4, .m4v, .mov or .mkv. It appears when it is complete.
        editor: What to edit, and with what.
        work: Folder of finished parts; created if missing, left for the caller to remove.
        progress: Called after each frame.
        should_stop: Asked as often.

    Raises:
        UnsupportedFilmError: If the source is no film that can be read.
        BrokenFilmError: If it is damaged; the message says what could be read.
        FilmTooLargeError: If it exceeds a limit of the editor's.
        NoFaceError: If no frame shows a face.
        InvalidInputError: If a direction, its strength, the face's number or the target's suffix
            is invalid, or the work folder belongs to another film or other settings.
        Stopped: If the caller wants no more.
        MissingExtraError: If PyAV is not installed.
    """
    editor.step()  # invalid directions are refused before anything is read
    if editor.blend not in ("auto", *get_args(Blend)):
        raise InvalidInputError(f"blend must be auto, transfer or render, got {editor.blend}")
    caller = Caller(progress, should_stop)
    with open_film(source, editor.limits) as film:
        check_target(film, target)
        time_base = float(film.time_base)
    settings = editor.settings() | {"source": file_digest(source)}
    with WorkFolder(work, settings) as folder:
        for stale in work.glob(f".*{PARTIAL}"):
            stale.unlink()
        frames = see_film(source, editor, folder, caller)
        plan = plan_film(editor, folder, time_base, caller)
        if len(plan.edited) >= COMPILE_FROM:
            editor.predictor.import_compiler()
            editor.predictor.start_compiling()
        known = frame_times(folder)
        blend = _blend(source, editor, plan, folder, known, caller)
        with open_film(source, editor.limits) as film:
            SegmentEditor(editor, plan, blend, folder, known).edit(film, caller)
        segments = [folder.segment(n) for n in range(-(-frames // SEGMENT_FRAMES))]
        joined = join(
            segments,
            source,
            target,
            editor.limits,
            lambda done: caller.report("join", done, frames),
        )
        return FilmReport(
            frames=frames,
            frames_with_face=len(plan.edited),
            flicker=read_flicker(folder, frames).ratio,
            sound=joined.sound,
            width_px=joined.width_px,
            height_px=joined.height_px,
            seconds=joined.seconds,
        )


def _blend(
    source: Path,
    editor: FilmEditor,
    plan: Plan,
    work: WorkFolder,
    known: Sequence[int],
    caller: Caller,
) -> Blend:
    """Return how to paste: what was asked for, or what was chosen once for the film."""
    if editor.blend != "auto":
        return editor.blend
    if not work.blend.exists():
        with open_film(source, editor.limits) as film:
            chosen = choose_blend(film, editor, plan, known, caller)
        write_file(work.blend, json.dumps(chosen).encode())
    blend: Blend = json.loads(work.blend.read_text())
    return blend
