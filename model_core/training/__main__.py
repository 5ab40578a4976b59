"""Train a network: python -m model_core.training --preset pretrain --run DIR."""

import argparse
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import get_args

import torch

from model_core.errors import InvalidInputError, WplusError
from model_core.program import program_name
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.precision import DtypeName, choose_precision
from model_core.training.assembly import RunInputs
from model_core.training.build import EmbeddingAssembly
from model_core.training.checkpoint import newest_checkpoint
from model_core.training.config import TrainConfig, presets
from model_core.training.detail.build import DetailAssembly
from model_core.training.distributed import Ranks, own_device
from model_core.training.run_folder import require_config
from model_core.training.run_loop import CHECKPOINTS
from model_core.weights.cache import DEFAULT_GENERATOR, cache_folder
from model_core.weights.shipped import EMBEDDING_NETWORK, image_head

INTERRUPTED = 130
ASSEMBLIES = {"embedding": EmbeddingAssembly, "detail": DetailAssembly}
"""The class that builds a run, by the network it trains."""


def main(arguments: Sequence[str], cache: Path, local_rank: int = 0, dtype: str = "auto") -> int:
    """Run a training from the command line and return the exit code.

    Args:
        arguments: Command-line arguments.
        cache: Weights cache.
        local_rank: This process's rank among those torchrun started on this machine.
        dtype: Default precision of the networks.
    """
    options = _parser(cache, dtype).parse_args(arguments)
    try:
        config = _resolve(options)
        if options.dry_run:
            print(config.to_json())
            return 0
        finished = _train(options, config, local_rank)
    except WplusError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        finished = False
    if not finished:
        print(
            "stopped; run the same command again to resume from the last checkpoint",
            file=sys.stderr,
        )
    return 0 if finished else INTERRUPTED


def _parser(cache: Path, dtype: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program_name("model_core.training"), description=__doc__)
    parser.add_argument("--preset", default="pretrain", choices=presets())
    parser.add_argument("--run", type=Path, help="run folder; default CACHE/runs/PRESET")
    parser.add_argument(
        "--photos", type=Path, nargs="+", default=[], help="folders of aligned photographs"
    )
    parser.add_argument(
        "--persons", type=Path, help="TSV with file and person, for a split by person"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--dtype",
        choices=get_args(DtypeName),
        default=dtype,
        help="precision of the networks; auto probes the processor (default: WPLUS_DTYPE, or auto)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the resolved config and exit")
    parser.add_argument(
        "--generator", default=DEFAULT_GENERATOR, help="name of a converted generator"
    )
    parser.add_argument(
        "--start", type=Path, help="network to start from, of the kind being trained"
    )
    parser.add_argument(
        "--network",
        type=Path,
        default=EMBEDDING_NETWORK,
        help="embedding network the detail encoder is trained for; default the shipped one",
    )
    parser.add_argument(
        "--head-weights", type=Path, help="image head; default the shipped one of size loss_px"
    )
    parser.add_argument(
        "--trunks", type=Path, help="folder of torchvision weights, for --perceptual lpips-..."
    )
    parser.add_argument(
        "--export",
        type=Path,
        help="write the averaged network here at the end, and a generator trained with it to "
        "FILE_generator",
    )
    parser.set_defaults(cache=cache)
    for field in dataclasses.fields(TrainConfig):
        parser.add_argument(f"--{field.name.replace('_', '-')}", dest=field.name, metavar="VALUE")
    return parser


def _resolve(options: argparse.Namespace) -> TrainConfig:
    """Apply the given flags on top of the preset."""
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    given = {name: getattr(options, name) for name in names}
    return TrainConfig.load(options.preset, {k: v for k, v in given.items() if v is not None})


def _train(options: argparse.Namespace, config: TrainConfig, local_rank: int) -> bool:
    """Build the run and train; return whether it reached the last step."""
    run = options.run or options.cache / "runs" / options.preset
    inputs = RunInputs(
        cache=options.cache,
        head_weights=options.head_weights or image_head(config.loss_px),
        generator=options.generator,
        photos=options.photos,
        persons=options.persons,
        start=options.start,
        network=options.network,
        trunks=options.trunks,
    )
    require_config(run, config)
    if options.start and newest_checkpoint(run / CHECKPOINTS):
        raise InvalidInputError(
            f"--start must be left out when the run has a checkpoint to resume from, "
            f"got {options.start}; choose another --run folder to start afresh"
        )
    device = own_device(torch.device(options.device), local_rank)
    ranks = Ranks.join(device)
    try:
        precision = choose_precision(str(device), options.dtype)
        if ranks.is_main:
            print(f"networks compute in {precision.name}: {precision.reason}")
        kind = ASSEMBLIES[config.trained]
        assembly = kind(inputs, config, run, ranks, device, precision)
        training = assembly.training()
        finished = training.run(should_stop=_stop_on_signals())
    finally:
        ranks.leave()
    if options.export and ranks.is_main and finished:
        training.export(options.export, assembly.fingerprint)
    return finished


def _stop_on_signals() -> Callable[[], bool]:
    """Stop after the current step on the first Ctrl-C or SIGTERM, immediately on the second."""
    told = threading.Event()

    def hear(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        print("stopping after this step; interrupt again to stop immediately", file=sys.stderr)
        told.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, hear)
    return told.is_set


if __name__ == "__main__":
    keep_freed_memory()
    folder = cache_folder(os.environ.get("WPLUS_CACHE"))
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    sys.exit(main(sys.argv[1:], folder, rank, os.environ.get("WPLUS_DTYPE") or "auto"))
