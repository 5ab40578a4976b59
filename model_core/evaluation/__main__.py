"""Measure embedding networks on faces: python -m model_core.evaluation --out DIR.

With --photos DIR the faces are held-out photographs, taken as in training, else a portrait in the
public domain and faces generated from seeds. Results of finished faces are kept under the output
folder: the same command goes on where it was stopped.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch

from model_core.errors import WplusError
from model_core.evaluation.faces import photographs, public_faces
from model_core.evaluation.methods import METHODS, RECIPES, TUNED, VARIANTS, make_method
from model_core.evaluation.networks import Backend, EvaluationNetworks
from model_core.evaluation.report import Findings, write_report
from model_core.evaluation.runner import EvaluationRunner
from model_core.evaluation.scoring import Describe, Scorer
from model_core.networks.loading import (
    load_embedding_network,
    load_generator,
    load_identity,
    load_image_head,
    load_judge,
    load_tuned_generator,
)
from model_core.perceptual.trunks import TRUNKS
from model_core.program import program_name
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.backends import can_compile
from model_core.runtime.execution import Execution
from model_core.runtime.precision import DtypeName
from model_core.shapes import ByteImages
from model_core.weights.cache import (
    DEFAULT_GENERATOR,
    DEFAULT_JUDGE,
    LANDMARKS,
    cache_folder,
    verified_path,
)
from model_core.weights.files import file_digest
from model_core.weights.shipped import EMBEDDING_NETWORK, image_head

ALL = "all"


def main(arguments: Sequence[str], cache: Path, dtype: str = "auto") -> int:
    """Run the comparison from the command line and return the exit code."""
    parser = _parser(dtype)
    options = parser.parse_args(arguments)
    options.variant = dict(options.variant)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device must be one that torch finds, got cuda")
    if (TUNED in options.variant) != (options.tuned_generator is not None):
        parser.error(f"--tuned-generator must be given with --variant {TUNED}=FILE, got one alone")
    if options.generator == DEFAULT_GENERATOR:
        options.network = options.network or EMBEDDING_NETWORK
        options.head_weights = options.head_weights or image_head(256)
    if ALL in options.methods:
        options.methods = [name for name in METHODS if not _lacking(name, options)]
    for name in options.methods:
        if flag := _lacking(name, options):
            parser.error(f"{flag} must name a file for the method {name}, got none")
    try:
        print(evaluate(options, cache))
    except WplusError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


def _parser(dtype: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program_name("model_core.evaluation"))
    add = parser.add_argument
    add("--photos", type=Path, nargs="+", help="aligned photographs; one person in five is used")
    add("--persons", type=Path, help="TSV with file and person: keeps them apart")
    add("--network", type=Path, help="embedding network; the default generator has its own")
    add("--methods", nargs="+", choices=(*METHODS, ALL), default=["mean", "network"])
    add(
        "--variant",
        action="append",
        type=_variant,
        default=[],
        metavar="NAME=FILE",
        help=f"a network trained otherwise: {', '.join(VARIANTS)}",
    )
    add("--tuned-generator", type=Path, help=f"the generator trained along with {TUNED}")
    add("--head-weights", type=Path, help="the generator's image head; the default one has its own")
    add("--steps", type=_positive, default=5000, help="of the methods that search; default 5000")
    add("--count", type=_positive, default=200, help="faces for methods of one pass; default 200")
    add("--iterator-count", type=_positive, default=20, help="for those that search; default 20")
    add("--generator", default=DEFAULT_GENERATOR, help="a converted one's name")
    add("--recogniser", nargs="+", default=[], help="names of converted ones: further columns")
    add("--trunks", type=Path, help="folder with torchvision's weights, for LPIPS and its like")
    add(
        "--device",
        choices=("cpu", "cuda"),
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where networks and measures run; default cuda where there is a GPU",
    )
    add(
        "--backend",
        choices=("auto", "eager", "compile"),
        default="auto",
        help="auto compiles where there is a compiler",
    )
    add(
        "--dtype",
        choices=get_args(DtypeName),
        default=dtype,
        help="what generator and network compute in; auto is float32 for the eager backend and "
        "else what a probe of the processor says (default: WPLUS_DTYPE, or auto)",
    )
    add("--out", type=Path, required=True, help="folder for report, pictures and records")
    return parser


def evaluate(options: argparse.Namespace, cache: Path) -> str:
    """Run all methods asked for and return the report."""
    torch.backends.cudnn.allow_tf32 = False  # float32 means the same as on a CPU
    nets = _networks(options, cache)
    names = [*options.methods, *options.variant]
    methods = [make_method(name, nets, options.steps) for name in names]
    faces = _faces(options, cache, nets)
    scorer = _scorer(options, cache, nets)
    runner = EvaluationRunner(
        faces, scorer, options.out / "records", options.iterator_count, options.device
    )
    records = runner.run(methods)
    settings = _settings(options, nets, scorer, len(faces))
    return write_report(Findings(faces, records, scorer.measures, settings, nets), options.out)


def _networks(options: argparse.Namespace, cache: Path) -> EvaluationNetworks:
    generator, fingerprint = load_generator(cache, options.generator)
    files = dict(options.variant)
    if options.network:
        files["network"] = options.network
    digests = {name: file_digest(file) for name, file in files.items() if file.is_file()}
    tuned = None
    if options.tuned_generator:
        tuned = load_tuned_generator(options.tuned_generator, generator, fingerprint)
        digests["tuned generator"] = file_digest(options.tuned_generator)
    head = None
    if options.head_weights:
        head = load_image_head(options.head_weights, fingerprint)
        digests["head"] = file_digest(options.head_weights)
    compiles = options.backend == "compile" or (
        options.backend == "auto" and can_compile(options.device)
    )
    backend: Backend = "compile" if compiles else "eager"
    execution = Execution.choose(options.device, backend, options.dtype)
    return EvaluationNetworks(
        generator,
        {
            name: load_embedding_network(file, cache, generator, fingerprint)
            for name, file in files.items()
        },
        digests | {"generator": fingerprint},
        cache,
        options.trunks,
        backend,
        execution.precision,
        tuned,
        head,
        options.device,
    )


def _faces(options: argparse.Namespace, cache: Path, nets: EvaluationNetworks) -> ByteImages:
    if options.photos:
        return photographs(options.photos, options.persons, options.count)
    landmarks = verified_path(cache, LANDMARKS)
    return public_faces(
        nets.generator,
        lambda ws: nets.render(ws.to(nets.device)).cpu(),
        landmarks,
        options.count,
    )


def _scorer(options: argparse.Namespace, cache: Path, nets: EvaluationNetworks) -> Scorer:
    names = ["st-lpips-alex", "st-lpips-vgg"]
    if options.trunks:
        names += [
            f"lpips-{trunk}"
            for trunk, (stem, _) in TRUNKS.items()
            if [*options.trunks.glob(f"{stem}-*.pth")]
        ]

    def describe(name: str) -> Describe:
        return load_identity(cache, name).to(nets.device).descriptor

    recogniser = load_judge(cache)
    if recogniser is None:
        print(
            f"no identity figures: {DEFAULT_JUDGE} is not in {cache}; "
            f"`python -m model_core.checkpoints pull {DEFAULT_JUDGE}` fetches it",
            file=sys.stderr,
        )
    return Scorer(
        recogniser.to(nets.device).descriptor if recogniser else None,
        [nets.distance(name) for name in names],
        {name: describe(name) for name in options.recogniser},
    )


def _settings(
    options: argparse.Namespace, nets: EvaluationNetworks, scorer: Scorer, count: int
) -> dict[str, object]:
    source = "held-out photographs" if options.photos else "a public-domain portrait, generated"
    return {
        "faces": f"{count}: {source}",
        "faces for methods that search": min(count, options.iterator_count),
        "steps": options.steps,
        "backend": f"{nets.backend}, {nets.precision.name}: {nets.precision.reason}",
        "device": nets.device_name,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "recognisers": [DEFAULT_JUDGE] * scorer.judges_identity + options.recogniser,
        "generator": options.generator,
        "weights": {name: digest[:12] for name, digest in sorted(nets.digests.items())},
    }


def _lacking(name: str, options: argparse.Namespace) -> str | None:
    """Return the flag without which a method cannot run."""
    start = RECIPES[name].start
    if start == "network" and not options.network:
        return "--network"
    if RECIPES[name].head and not options.head_weights:
        return "--head-weights"
    if start in VARIANTS and start not in options.variant:
        return f"--variant {start}=FILE"
    return None


def _variant(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if name not in VARIANTS or not file:
        raise argparse.ArgumentTypeError(f"must be NAME=FILE with NAME in {VARIANTS}, got {text}")
    return name, Path(file)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text}")
    return int(text)


if __name__ == "__main__":
    keep_freed_memory()
    folder = cache_folder(os.environ.get("WPLUS_CACHE"))
    sys.exit(main(sys.argv[1:], folder, os.environ.get("WPLUS_DTYPE") or "auto"))
