"""Embed every face in a folder of photos: python -m model_core.batch DIR -o OUT.

OUT gets a table of Parquet files (file, face, box, landmarks, figures, code), skipped.tsv, and, on
request, codes and images. The same command resumes a stopped run.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from model_core.batch.embedding import CodeFormat, Wanted, embed_folder
from model_core.batch.networks import Networks, face_models
from model_core.batch.preparation import Which
from model_core.batch.storage import Folder
from model_core.batch.table import SKIPPED
from model_core.errors import WplusError
from model_core.program import program_name
from model_core.runtime.backends import Backend
from model_core.runtime.precision import DtypeName
from model_core.weights.cache import DEFAULT_GENERATOR, cache_folder

Progress = Callable[[int, int, int], object]
"""Photos done, their total, and the faces found so far."""

INTERRUPTED = 130


def main(arguments: Sequence[str], cache: Path) -> int:
    """Embed a folder from the command line and return the exit code."""
    options = _parse(arguments)
    wanted = Wanted(options.faces, options.figures, options.images, options.codes, options.shard)
    try:
        with tqdm(unit="photo", dynamic_ncols=True) as bar:

            def progress(done: int, total: int, faces: int) -> None:
                if bar.total is None:
                    bar.total, bar.initial = total, done
                bar.set_postfix(faces=faces, refresh=False)
                bar.update(done - bar.n)

            run = _embed_on_cluster if options.ray else _embed_here
            skipped = run(options, cache, wanted, progress)
    except (WplusError, OSError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    print(f"{bar.n - skipped} of {bar.n} photos embedded; {SKIPPED} lists the others")
    return 0


def _embed_here(
    options: argparse.Namespace, cache: Path, wanted: Wanted, progress: Progress
) -> int:
    """Embed the folder in this process and its workers; return the number of skipped photos."""
    predictor = _networks(options, options.device or "cpu").load(cache)
    landmarks, second = face_models(cache)
    return embed_folder(
        Path(options.source),
        Path(options.target),
        predictor,
        landmarks,
        wanted,
        options.workers,
        progress,
        second,
    )


def _embed_on_cluster(
    options: argparse.Namespace, _cache: Path, wanted: Wanted, progress: Progress
) -> int:
    """Embed the folder on a Ray cluster; return the number of skipped photos."""
    from model_core.batch import cluster

    source, target = Folder.open(options.source), Folder.open(options.target)
    with cluster.connected(options.ray):
        device = options.device or ("cuda" if cluster.has_gpus() else "cpu")
        gpus = options.actor_gpus
        if gpus is None:
            gpus = float(device.startswith("cuda"))
        workers = cluster.Workers(options.actor_cpus, gpus, options.actors)
        networks = _networks(options, device)
        return cluster.embed_on_cluster(source, target, networks, wanted, workers, progress)


def _networks(options: argparse.Namespace, device: str) -> Networks:
    return Networks(
        options.network, options.generator, options.detail, device, options.backend, options.dtype
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=program_name("model_core.batch"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    parser.add_argument(
        "--detail", action=flag, default=True, help="render with detail (default: yes)"
    )
    parser.add_argument("--shard", type=int, default=256, help="photos per Parquet file (256)")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--device", help="default: cpu; with --ray cuda, if the cluster has GPUs")
    parser.add_argument("--backend", choices=get_args(Backend), default="auto")
    parser.add_argument("--dtype", choices=get_args(DtypeName), default="auto")
    parser.add_argument("--generator", default=DEFAULT_GENERATOR)
    parser.add_argument("--network", type=Path, help="embedding network; default: the shipped one")
    cluster = parser.add_argument_group("on a cluster", "needs the extra scale; see docs/scale.md")
    cluster.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="embed on a Ray cluster: HOST:PORT, auto (this machine's), local (start one)",
    )
    cluster.add_argument("--actors", type=int, help="default: as many as there is room for")
    cluster.add_argument("--actor-cpus", type=int, default=1, help="cores of each actor (1)")
    cluster.add_argument("--actor-gpus", type=float, help="default: 1 if the device is cuda")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
