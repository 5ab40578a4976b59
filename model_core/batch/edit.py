"""Edit the faces of a folder, a photo or a film along directions.

    wplus edit DIR -o OUT --direction smile=1.5 --direction age=7

OUT/images gets a picture of each face, or of each photo; skipped.tsv lists photos without any. The
same command resumes a stopped run. GET /directions of the service lists directions and units.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model_core.batch.changes import along_directions
from model_core.batch.command import parser_of
from model_core.batch.direction_options import add_direction_options, read_strengths
from model_core.batch.picture_command import add_picture_options, is_film, run_pictures
from model_core.weights.cache import cache_folder


def main(arguments: Sequence[str], cache: Path) -> int:
    """Edit from the command line and return the exit code."""
    parser = _parser()
    known, others = parser.parse_known_args(arguments)
    # In `--face 1 FILM` this parser, which knows no --face, takes the 1 for the source.
    if any(is_film(Path(each)) for each in (known.source, *others)):
        # By its name: films build on this package.
        films = importlib.import_module("model_core.films.__main__")
        return int(films.main(arguments, cache))
    options = parser.parse_args(arguments)
    asked = read_strengths(parser, options)
    return run_pictures(
        options,
        cache,
        lambda predictor, _: along_directions(predictor, asked, options.unsafe),
    )


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("model_core.batch.edit", __doc__)
    parser.allow_abbrev = False  # a film's --face is no --faces
    add_direction_options(parser)
    add_picture_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
