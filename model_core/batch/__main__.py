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

from tqdm import tqdm

from model_core.batch.embedding import CodeFormat, Wanted, embed_folder
from model_core.batch.preparation import Which
from model_core.batch.table import SKIPPED
from model_core.errors import NoEmbedderError, WplusError
from model_core.predictor import Predictor
from model_core.program import program_name
from model_core.runtime.backends import Backend
from model_core.runtime.precision import DtypeName
from model_core.weights.cache import (
    DEFAULT_GENERATOR,
    LANDMARKS,
    SECOND_GLANCE,
    cache_folder,
    verified_path,
    weight_path,
)
from model_core.weights.shipped import DETAIL_ENCODER, EMBEDDING_NETWORK

INTERRUPTED = 130


def main(arguments: Sequence[str], cache: Path) -> int:
    """Embed a folder from the command line and return the exit code."""
    options = _parse(arguments)
    wanted = Wanted(options.faces, options.figures, options.images, options.codes, options.shard)
    try:
        predictor = _load(cache, options)
        landmarks = verified_path(cache, LANDMARKS)
        second = None
        if weight_path(cache, SECOND_GLANCE).is_file():
            second = verified_path(cache, SECOND_GLANCE)
        with tqdm(unit="photo", dynamic_ncols=True) as bar:

            def progress(done: int, total: int, faces: int) -> None:
                if bar.total is None:
                    bar.total, bar.initial = total, done
                bar.set_postfix(faces=faces, refresh=False)
                bar.update(done - bar.n)

            skipped = embed_folder(
                options.source,
                options.target,
                predictor,
                landmarks,
                wanted,
                options.workers,
                progress,
                second,
            )
    except (WplusError, OSError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    print(f"{bar.n - skipped} of {bar.n} photos embedded; {SKIPPED} lists the others")
    return 0


def _load(cache: Path, options: argparse.Namespace) -> Predictor:
    default = options.generator == DEFAULT_GENERATOR
    network = options.network or (EMBEDDING_NETWORK if default else None)
    if network is None:
        raise NoEmbedderError(
            f"--network must name an embedding network for {options.generator}, got none"
        )
    return Predictor.load(
        cache,
        network,
        options.device,
        options.backend,
        options.generator,
        dtype=options.dtype,
        detail=DETAIL_ENCODER if default and options.detail else None,
        defer_compile=True,
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=program_name("model_core.batch"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    parser.add_argument(
        "--detail", action=flag, default=True, help="render with detail (default: yes)"
    )
    parser.add_argument("--shard", type=int, default=256, help="photos per Parquet file (256)")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", choices=get_args(Backend), default="auto")
    parser.add_argument("--dtype", choices=get_args(DtypeName), default="auto")
    parser.add_argument("--generator", default=DEFAULT_GENERATOR)
    parser.add_argument("--network", type=Path, help="embedding network; default: the shipped one")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
