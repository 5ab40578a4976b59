"""Embed every face in a folder of photos: python -m model_core.batch DIR -o OUT.

OUT gets a table of Parquet files (file, face, box, landmarks, figures, code), skipped.tsv, and, on
request, codes and images. The same command resumes a stopped run.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from model_core.batch.command import (
    add_network_options,
    ended,
    find_models,
    load_predictor,
    parser_of,
    progress_bar,
)
from model_core.batch.embedding import CodeFormat, Wanted, embed_photos
from model_core.batch.output_folder import SKIPPED
from model_core.batch.preparation import Which
from model_core.batch.workers import PhotoWorkers
from model_core.weights.cache import cache_folder


def main(arguments: Sequence[str], cache: Path) -> int:
    """Embed a folder from the command line and return the exit code."""
    options = _parse(arguments)
    wanted = Wanted(options.faces, options.figures, options.images, options.codes, options.shard)

    def embed() -> str:
        with PhotoWorkers(options.workers, find_models(cache)) as workers:
            workers.start()
            predictor = load_predictor(cache, options)
            with progress_bar() as (progress, bar):
                skipped = embed_photos(
                    options.source, options.target, predictor, workers, wanted, progress
                )
        return f"{bar.n - skipped} of {bar.n} photos embedded; {SKIPPED} lists the others"

    return ended(embed)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = parser_of("model_core.batch", __doc__)
    flag = argparse.BooleanOptionalAction
    parser.add_argument("source", metavar="DIR", type=Path, help="folder of photos")
    parser.add_argument("-o", "--out", dest="target", metavar="OUT", type=Path, required=True)
    parser.add_argument("--faces", choices=get_args(Which), default="all", help="default: all")
    parser.add_argument(
        "--figures", action=flag, default=True, help="render and measure each face (default: yes)"
    )
    parser.add_argument(
        "--images", action="store_true", help="write each reconstruction to OUT/images"
    )
    parser.add_argument(
        "--codes", choices=get_args(CodeFormat), help="write each code to OUT/codes"
    )
    parser.add_argument("--shard", type=int, default=256, help="photos per Parquet file (256)")
    add_network_options(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
