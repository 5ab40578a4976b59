"""What the commands for photos share: options, loading, progress, and how they end."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, get_args

from tqdm import tqdm

from model_core.batch.listing import Progress
from model_core.batch.workers import Models
from model_core.errors import NoEmbedderError, WplusError
from model_core.predictor import Predictor
from model_core.program import program_name
from model_core.runtime.backends import Backend
from model_core.runtime.precision import DtypeName
from model_core.weights.cache import (
    DEFAULT_GENERATOR,
    LANDMARKS,
    SECOND_GLANCE,
    verified_path,
    weight_path,
)
from model_core.weights.shipped import DETAIL_ENCODER, EMBEDDING_NETWORK

INTERRUPTED = 130


def parser_of(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return a command's parser, without options yet."""
    return argparse.ArgumentParser(
        prog=program_name(module),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the networks and how they run."""
    flag = argparse.BooleanOptionalAction
    parser.add_argument(
        "--detail", action=flag, default=True, help="render with detail (default: yes)"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", choices=get_args(Backend), default="auto")
    parser.add_argument("--dtype", choices=get_args(DtypeName), default="auto")
    parser.add_argument("--generator", default=DEFAULT_GENERATOR)
    parser.add_argument("--network", type=Path, help="embedding network; default: the shipped one")


def add_workers_option(parser: argparse.ArgumentParser) -> None:
    """Add the number of processes that prepare photos."""
    parser.add_argument(
        "--workers",
        type=int,
        default=max(1, (os.cpu_count() or 2) - 1),
        help="processes that read photos and find faces",
    )


def load_predictor(cache: Path, options: argparse.Namespace) -> Predictor:
    """Load the networks that the options choose.

    Raises:
        NoEmbedderError: If no network embeds for the generator.
        CheckpointError: If a weight file is missing or damaged.
    """
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


def find_models(cache: Path) -> Models:
    """Return the files with which faces are found, verified.

    Raises:
        CheckpointError: If one is missing or damaged.
    """
    second = None
    if weight_path(cache, SECOND_GLANCE).is_file():
        second = verified_path(cache, SECOND_GLANCE)
    return Models(verified_path(cache, LANDMARKS), second)


@contextmanager
def progress_bar(unit: str = "photo") -> Iterator[tuple[Progress, "tqdm[NoReturn]"]]:
    """Show how many are done, how many a second, and the time left."""
    with tqdm(unit=unit, dynamic_ncols=True) as bar:

        def progress(done: int, total: int, faces: int) -> None:
            if bar.total is None:
                bar.total, bar.initial = total, done
            bar.set_postfix(faces=faces, refresh=False)
            bar.update(done - bar.n)

        yield progress, bar


def ended(work: Callable[[], str]) -> int:
    """Do a command's work, print what it says, and return the exit code."""
    try:
        print(work())
    except (WplusError, OSError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    return 0
