"""Evaluate embedding methods on faces: python -m model_core.evaluation --out DIR.

With --photos DIR the faces are held-out photographs, split as in training; without, a public-domain
portrait and faces generated from seeds. Results of finished faces are kept in the output folder, so
the same command resumes a stopped run.
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
    load_detail_encoder,
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
from model_core.weights.shipped import DETAIL_ENCODER, EMBEDDING_NETWORK, image_head

ALL = "all"


def main(arguments: Sequence[str], cache: Path, dtype: str = "auto") -> int:
    """Run the comparison from the command line and return the exit code."""
    parser = _parser(dtype)
    options = parser.parse_args(arguments)
    options.variant = dict(options.variant)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device must be available to torch, got cuda")
    if (TUNED in options.variant) != (options.tuned_generator is not None):
        parser.error(
            f"--tuned-generator must be given with --variant {TUNED}=FILE, got only one of them"
        )
    if options.generator == DEFAULT_GENERATOR:
        options.network = options.network or EMBEDDING_NETWORK
        options.head_weights = options.head_weights or image_head(256)
        options.detail_weights = options.detail_weights or DETAIL_ENCODER
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
    add(
        "--photos",
        type=Path,
        nargs="+",
        help="folders of aligned photographs; one person in five is used",
    )
    add("--persons", type=Path, help="TSV with file and person, for a split by person")
    add(
        "--network",
        type=Path,
        help="embedding network; default the shipped one for the default generator",
    )
    add("--methods", nargs="+", choices=(*METHODS, ALL), default=["mean", "network"])
    add(
        "--variant",
        action="append",
        type=_variant,
        default=[],
        metavar="NAME=FILE",
        help=f"a network trained with other losses: {', '.join(VARIANTS)}",
    )
    add("--tuned-generator", type=Path, help=f"the generator trained with {TUNED}")
    add(
        "--head-weights",
        type=Path,
        help="image head; default the shipped one for the default generator",
    )
    add(
        "--detail-weights",
        type=Path,
        help="detail encoder; default the shipped one for the default generator",
    )
    add("--steps", type=_positive, default=5000, help="steps of iterative methods; default 5000")
    add("--count", type=_positive, default=200, help="faces for one-pass methods; default 200")
    add(
        "--iterator-count",
        type=_positive,
        default=20,
        help="faces for iterative methods; default 20",
    )
    add("--generator", default=DEFAULT_GENERATOR, help="name of a converted generator")
    add(
        "--recogniser",
        nargs="+",
        default=[],
        help="names of converted recognisers, one more column each",
    )
    add("--trunks", type=Path, help="folder of torchvision weights, for LPIPS and VGG losses")
    add(
        "--device",
        choices=("cpu", "cuda"),
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="device for networks and metrics; default cuda if there is a GPU",
    )
    add(
        "--backend",
        choices=("auto", "eager", "compile"),
        default="auto",
        help="auto compiles if a compiler is installed",
    )
    add(
        "--dtype",
        choices=get_args(DtypeName),
        default=dtype,
        help="precision of generator and network; auto is float32 on the eager backend, "
        "otherwise it probes the processor (default: WPLUS_DTYPE, or auto)",
    )
    add("--out", type=Path, required=True, help="folder for the report, images and records")
    return parser


def evaluate(options: argparse.Namespace, cache: Path) -> str:
    """Run all requested methods and return the report."""
    torch.backends.cudnn.allow_tf32 = False  # full float32, as on a CPU
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
    detail = None
    if options.detail_weights:
        detail = load_detail_encoder(options.detail_weights, generator, fingerprint)
        digests["detail"] = detail[1]
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
        detail,
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
            f"no identity metrics: {DEFAULT_JUDGE} is not in {cache}; "
            f"run `python -m model_core.checkpoints pull {DEFAULT_JUDGE}`",
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
        "faces for iterative methods": min(count, options.iterator_count),
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
    """Return the flag a method needs that was not given, or None."""
    start = RECIPES[name].start
    if start == "network" and not options.network:
        return "--network"
    if RECIPES[name].head and not options.head_weights:
        return "--head-weights"
    if RECIPES[name].detail and not options.detail_weights:
        return "--detail-weights"
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
        raise argparse.ArgumentTypeError(f"must be a positive integer, got {text}")
    return int(text)


if __name__ == "__main__":
    keep_freed_memory()
    folder = cache_folder(os.environ.get("WPLUS_CACHE"))
    sys.exit(main(sys.argv[1:], folder, os.environ.get("WPLUS_DTYPE") or "auto"))
