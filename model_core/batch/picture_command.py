"""Options of commands that change the faces of a folder or of one photo, and their work."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

from model_core.alignment.folder import SUFFIXES
from model_core.batch.changing import IMAGES, change_photos
from model_core.batch.command import (
    add_network_options,
    add_workers_option,
    ended,
    find_models,
    load_predictor,
    progress_bar,
)
from model_core.batch.listing import list_photos
from model_core.batch.pictures import FaceChange, Output, Pictures
from model_core.batch.preparation import Which
from model_core.batch.single import FORMATS, change_one
from model_core.batch.workers import PhotoWorkers
from model_core.compositing.insertion import BlendChoice
from model_core.errors import InvalidInputError
from model_core.output.encoding import Format
from model_core.predictor import Predictor
from model_core.skipped import summary

BLENDS: tuple[BlendChoice, ...] = ("auto", "transfer", "render")
MakeChange = Callable[[Predictor, PhotoWorkers], FaceChange]


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the source, the target, and the options of the pictures."""
    parser.add_argument(
        "source", metavar="SOURCE", type=Path, help="folder of photos, or one photo"
    )
    parser.add_argument(
        "-o",
        "--out",
        dest="target",
        metavar="OUT",
        type=Path,
        required=True,
        help="folder of the results; for one photo also a file such as new.jpg",
    )
    parser.add_argument(
        "--output",
        choices=get_args(Output),
        default="face",
        help="each face alone, or the photo with the new faces in it (default: face)",
    )
    parser.add_argument("--faces", choices=get_args(Which), default="all", help="default: all")
    parser.add_argument(
        "--blend",
        choices=BLENDS,
        default="auto",
        help="with --output photo: add the change to the photo's pixels (transfer), replace the "
        "face (render), or what suits the change (default: auto)",
    )
    parser.add_argument("--format", choices=get_args(Format), help="default: jpeg")
    parser.add_argument("--quality", type=int, default=95, help="of jpeg and webp (95)")
    add_network_options(parser)
    add_workers_option(parser)


def run_pictures(options: argparse.Namespace, cache: Path, make: MakeChange) -> int:
    """Change what the options name; return the exit code.

    Args:
        options: Those of `add_picture_options`.
        cache: Weights cache.
        make: Makes the change of each face.
    """

    def work() -> str:
        wanted = _wanted(options)
        source, target = options.source, options.target
        is_file = source.is_file() and target.suffix.lower() in FORMATS and not target.is_dir()
        photos = [(source, source.name)] if source.is_file() else list_photos(source, target)
        with PhotoWorkers(min(options.workers, len(photos)), find_models(cache)) as workers:
            workers.start()
            predictor = load_predictor(cache, options)
            change = make(predictor, workers)
            if is_file:
                wanted = _in_format_of(target, wanted, options.format)
                change_one(source, target, predictor, workers, change, wanted)
                return f"{target} written"
            with progress_bar() as (progress, bar):
                skipped = change_photos(
                    photos, target, predictor, workers, change, wanted, progress
                )
        return summary(int(bar.n), skipped, f"are in {target / IMAGES}")

    return ended(work)


def _wanted(options: argparse.Namespace) -> Pictures:
    if not 1 <= options.quality <= 100:
        raise InvalidInputError(f"--quality must be from 1 to 100, got {options.quality}")
    if options.blend != "auto" and options.output != "photo":
        raise InvalidInputError(
            f"--blend must be omitted unless --output is photo, got {options.blend}"
        )
    form: Format = options.format or "jpeg"
    return Pictures(options.output, options.faces, options.blend, form, options.quality)


def _in_format_of(target: Path, wanted: Pictures, asked: Format | None) -> Pictures:
    """Return the picture in the format of a file's suffix."""
    form = FORMATS[target.suffix.lower()]
    if asked not in (None, form):
        raise InvalidInputError(f"--format must be {form} for {target.name}, got {asked}")
    return replace(wanted, form=form)


def is_film(source: Path) -> bool:
    """Whether a source is a file that is no photo by its name."""
    return source.is_file() and source.suffix.lower() not in SUFFIXES
