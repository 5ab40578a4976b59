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
    add_workers_option,
    ended,
    find_models,
    load_predictor,
    parser_of,
    progress_bar,
)
from model_core.batch.embedding import CodeFormat, Wanted, embed_photos
from model_core.batch.preparation import Which
from model_core.batch.workers import PhotoWorkers
from model_core.errors import InvalidInputError
from model_core.skipped import summary
from model_core.weights.cache import cache_folder


def main(arguments: Sequence[str], cache: Path) -> int:
    """Embed a folder from the command line and return the exit code."""
    options = parse(arguments)
    wanted = Wanted(options.faces, options.figures, options.images, options.codes, options.shard)

    def embed() -> str:
        if options.ray is not None:
            return _embed_on_cluster(options, wanted)
        for name, address in (("DIR", options.source), ("OUT", options.target)):
            if "://" in address:
                raise InvalidInputError(
                    f"{name} must be a path without --ray, got {address}: add --ray local"
                )
        source, target = Path(options.source), Path(options.target)
        options.device = options.device or "cpu"
        with PhotoWorkers(options.workers, find_models(cache)) as workers:
            workers.start()
            predictor = load_predictor(cache, options)
            with progress_bar() as (progress, bar):
                skipped = embed_photos(source, target, predictor, workers, wanted, progress)
        return summary(int(bar.n), skipped, "embedded")

    return ended(embed)


def _embed_on_cluster(options: argparse.Namespace, wanted: Wanted) -> str:
    """Embed a folder on a Ray cluster."""
    from model_core.batch import cluster
    from model_core.batch.storage import Folder

    source, target = Folder.open(options.source), Folder.open(options.target)
    with cluster.connected(options.ray), progress_bar() as (progress, bar):
        options.device = options.device or ("cuda" if cluster.has_gpus() else "cpu")
        gpus = options.actor_gpus
        if gpus is None:
            gpus = float(options.device.startswith("cuda"))
        size = cluster.Workers(options.actor_cpus, gpus, options.actors)
        skipped = cluster.embed_on_cluster(source, target, options, wanted, size, progress)
    return summary(int(bar.n), skipped, "embedded")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = parser_of("model_core.batch", __doc__)
    flag = argparse.BooleanOptionalAction
    parser.add_argument(
        "source", metavar="DIR", help="folder of photos; with --ray also a URI: s3://bucket/folder"
    )
    parser.add_argument("-o", "--out", dest="target", metavar="OUT", required=True)
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
    add_workers_option(parser)
    parser.set_defaults(device=None)
    cluster = parser.add_argument_group("on a cluster, with the extra scale")
    cluster.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="embed on a Ray cluster: HOST:PORT, auto (this machine's), local (start one here)",
    )
    cluster.add_argument("--actors", type=int, help="default: as many as there is room for")
    cluster.add_argument("--actor-cpus", type=int, default=1, help="cores of each actor (1)")
    cluster.add_argument(
        "--actor-gpus", type=float, help="GPUs of each actor; default: 1 if --device is cuda"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
