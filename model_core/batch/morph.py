"""Go from the face of a photo to that of another, or through several.

    wplus morph A B [C ...] -o OUT --steps 48

OUT gets frames/0000.jpg and so on, and the animation morph.webp. The first and the last frame are
the reconstructions of the first and the last photo. The same command resumes a stopped run.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from model_core.batch.command import (
    add_network_options,
    add_workers_option,
    ended,
    find_models,
    load_predictor,
    parser_of,
    progress_bar,
)
from model_core.batch.morphing import ANIMATION, FRAMES, Animation, Morph, check_morph, morph_photos
from model_core.batch.workers import PhotoWorkers
from model_core.latents.morphing import Rows
from model_core.output.encoding import Format
from model_core.weights.cache import cache_folder

STEPS = 24


def main(arguments: Sequence[str], cache: Path) -> int:
    """Morph from the command line and return the exit code."""
    options = _parse(arguments)
    morph = Morph(
        max(STEPS, len(options.photos)) if options.steps is None else options.steps,
        Rows(options.first_row, options.last_row),
        options.format,
        options.quality,
        options.size,
        options.animation,
        options.frame_ms,
        options.there_and_back,
    )

    def work() -> str:
        check_morph(options.photos, morph)
        count = min(options.workers, len(options.photos))
        with PhotoWorkers(count, find_models(cache)) as workers:
            workers.start()
            predictor = load_predictor(cache, options)
            with progress_bar("frame") as (progress, _):
                morph_photos(
                    options.photos,
                    options.target,
                    predictor,
                    workers,
                    morph,
                    lambda done, total: progress(done, total, len(options.photos)),
                )
        frames = f"{morph.steps} frames are in {options.target / FRAMES}"
        if morph.animation == "none":
            return frames
        return f"{frames}, the animation is {options.target / ANIMATION}.{morph.animation}"

    return ended(work)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = parser_of("model_core.batch.morph", __doc__)
    flag = argparse.BooleanOptionalAction
    parser.add_argument("photos", metavar="PHOTO", nargs="+", type=Path, help="two or more")
    parser.add_argument("-o", "--out", dest="target", metavar="OUT", type=Path, required=True)
    parser.add_argument(
        "--steps", type=int, help=f"frames, first and last photo included (default: {STEPS})"
    )
    parser.add_argument("--first-row", type=int, default=0, help="first row to blend (0)")
    parser.add_argument(
        "--last-row",
        type=int,
        help="last row to blend (the finest); others are the second's",
    )
    parser.add_argument("--format", choices=get_args(Format), default="jpeg", help="of the frames")
    parser.add_argument("--quality", type=int, default=95, help="of jpeg and webp (95)")
    parser.add_argument("--size", type=int, default=1024, help="side of the frames in px (1024)")
    parser.add_argument("--animation", choices=get_args(Animation), default="webp")
    parser.add_argument("--frame-ms", type=int, default=100, help="of the animation (100)")
    parser.add_argument(
        "--there-and-back",
        action=flag,
        default=True,
        help="return to the first, so that the animation loops without a jump (default: yes)",
    )
    add_network_options(parser)
    add_workers_option(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
