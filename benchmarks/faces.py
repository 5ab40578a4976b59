"""Faces for the iterator's benchmarks: photographs, or a reproducible public set."""

import argparse
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from model_core.evaluation.faces import photographs, public_faces
from model_core.generators.contract import Generator
from model_core.images import to_float
from model_core.inversion.iterator import Render
from model_core.weights.cache import LANDMARKS, verified_path


def add_options(parser: argparse.ArgumentParser, count: int) -> None:
    """Add --photos, --persons and --count to a command line."""
    parser.add_argument("--photos", type=Path, nargs="+", help="aligned; default: public faces")
    parser.add_argument("--persons", type=Path, help="TSV with file and person")
    parser.add_argument("--count", type=int, default=count)


def choose_faces(
    options: argparse.Namespace, generator: Generator, render: Render, cache: Path
) -> Float[Tensor, "count 3 size size"]:
    """Return the faces requested on the command line, in [-1, 1]."""
    if options.photos:
        return to_float(photographs(options.photos, options.persons, options.count))
    return to_float(public_faces(generator, render, verified_path(cache, LANDMARKS), options.count))
