"""Edit a face in a film: wplus edit FILM -o OUT --direction NAME=STRENGTH.

The person whose face fills most of the film is edited; the sound is copied. The same command
resumes a stopped run: finished parts are in OUT.work until the film is complete.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from model_core.alignment.ffhq import FaceAligner
from model_core.batch.command import (
    add_network_options,
    ended,
    find_models,
    load_predictor,
    parser_of,
)
from model_core.batch.direction_options import add_direction_options, read_strengths
from model_core.films.editing import FilmEditor, FilmProgress, FilmReport, edit_film
from model_core.films.joining import check_target
from model_core.films.limits import FilmLimits
from model_core.films.reading import open_film
from model_core.films.work import remove_work
from model_core.weights.cache import cache_folder

FOR_PHOTOS = ("--output", "--faces", "--format", "--quality", "--workers")
"""Options of the same command that mean nothing for a film."""

PHASES = {"read": "finding faces", "edit": "editing", "join": "joining"}


def main(arguments: Sequence[str], cache: Path) -> int:
    """Edit a film from the command line and return the exit code."""
    options = _parse(arguments)
    work = options.work or options.target.with_name(f"{options.target.name}.work")
    limits = FilmLimits(options.max_pixels, options.max_frames, options.max_seconds)

    def edit() -> str:
        with open_film(options.source, limits) as film:  # before networks are loaded
            check_target(film, options.target)
        editor = _load(cache, options, limits)
        with _Bar() as bar:
            report = edit_film(
                options.source,
                options.target,
                editor,
                work=work,
                progress=bar.show,
                should_stop=lambda: False,
            )
        remove_work(work)
        return _told(report, options.target)

    return ended(edit)


class _Bar:
    """A progress bar for each phase."""

    def __init__(self) -> None:
        self._phase, self._bar = "", tqdm(disable=True)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()

    def show(self, progress: FilmProgress) -> None:
        """Show progress."""
        if progress.phase != self._phase:
            self._bar.close()
            self._phase = progress.phase
            # What an earlier run has done does not count into the rate.
            self._bar = tqdm(
                desc=PHASES[progress.phase],
                total=progress.total,
                initial=progress.done - 1,
                unit="frame",
                dynamic_ncols=True,
            )
        self._bar.update(progress.done - self._bar.n)


def _told(report: FilmReport, target: Path) -> str:
    flicker = "" if report.flicker is None else f"; flicker {report.flicker:.2f} times the source's"
    return (
        f"{target}: {report.frames_with_face} of {report.frames} frames edited, "
        f"{report.width_px}x{report.height_px}, {report.seconds:.1f} s, "
        f"{'sound copied' if report.sound else 'no sound'}{flicker}"
    )


def _load(cache: Path, options: argparse.Namespace, limits: FilmLimits) -> FilmEditor:
    models = find_models(cache)
    return FilmEditor(
        load_predictor(cache, options),
        FaceAligner(models.landmarks, models.second_glance),
        options.directions,
        options.blend,
        options.face,
        options.unsafe,
        options.smooth,
        limits,
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = parser_of("model_core.films", __doc__)
    limits, flag = FilmLimits(), argparse.BooleanOptionalAction
    parser.add_argument("source", metavar="FILM", type=Path)
    parser.add_argument("-o", "--out", dest="target", metavar="OUT", type=Path, required=True)
    add_direction_options(parser)
    parser.add_argument("--blend", choices=("auto", "transfer", "render"), default="auto")
    parser.add_argument(
        "--face", type=int, default=0, help="person to edit: 0 fills most of the film (default)"
    )
    parser.add_argument(
        "--smooth", action=flag, default=True, help="smooth over time (default: yes)"
    )
    parser.add_argument("--work", metavar="DIR", type=Path, help="default: OUT.work")
    parser.add_argument("--max-pixels", type=int, default=limits.max_px, help="of a frame")
    parser.add_argument("--max-frames", type=int, default=limits.max_frames)
    parser.add_argument("--max-seconds", type=float, default=limits.max_seconds)
    add_network_options(parser)
    options, others = parser.parse_known_args(arguments)
    for each in others:
        name = each.partition("=")[0]
        if name in FOR_PHOTOS:
            parser.error(f"{name} must be omitted for a film: it is for photos")
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    options.directions = read_strengths(parser, options)
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
