"""Give the faces of a folder, or of a photo, the colours of another face.

    wplus colorize DIR -o OUT --style PHOTO

Without a style, the colours are those of the generator's average face. OUT/images gets a picture of
each face, or of each photo; skipped.tsv lists photos without any. The same command resumes a
stopped run.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model_core.batch.changes import to_colours
from model_core.batch.command import parser_of
from model_core.batch.picture_command import add_picture_options, run_pictures
from model_core.batch.pictures import FaceChange
from model_core.batch.single import read_people
from model_core.batch.workers import PhotoWorkers
from model_core.latents.editing import COLOUR_ROW
from model_core.predictor import Predictor
from model_core.weights.cache import cache_folder


def main(arguments: Sequence[str], cache: Path) -> int:
    """Colorize from the command line and return the exit code."""
    parser = parser_of("model_core.batch.colorize", __doc__)
    parser.add_argument(
        "--style", metavar="PHOTO", type=Path, help="the photo whose largest face gives the colours"
    )
    parser.add_argument(
        "--strength", type=float, default=1.0, help="share of the new colours, 0 to 1 (1)"
    )
    parser.add_argument(
        "--first-row", type=int, default=COLOUR_ROW, help=f"first row to replace ({COLOUR_ROW})"
    )
    parser.add_argument(
        "--keep-luminance", action="store_true", help="keep the brightness of the photos"
    )
    add_picture_options(parser)
    options = parser.parse_args(arguments)
    if not 0 <= options.strength <= 1:
        parser.error(f"--strength must be from 0 to 1, got {options.strength}")
    if options.keep_luminance and options.blend == "render":
        parser.error("--blend must be auto or transfer with --keep-luminance, got render")

    def change(predictor: Predictor, workers: PhotoWorkers) -> FaceChange:
        if options.first_row not in range(predictor.num_ws):
            parser.error(
                f"--first-row must be from 0 to {predictor.num_ws - 1}, got {options.first_row}"
            )
        if options.style is None:
            colours = predictor.sample(0, 0.0)[0]
        else:
            colours = read_people([options.style], predictor, workers)[0].ws
        return to_colours(
            colours, options.style, options.first_row, options.strength, options.keep_luminance
        )

    return run_pictures(options, cache, change)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
