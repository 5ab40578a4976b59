"""Limit a benchmark to an instruction set that a smaller processor has."""

import os
import sys
from argparse import ArgumentParser

EMULATED = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OV_CPU_MAX_ISA": "AVX2",  # together with oneDNN's, or OpenVINO finds no kernels
    }
}


def add_emulate(parser: ArgumentParser) -> None:
    """Add the option --emulate."""
    parser.add_argument("--emulate", choices=EMULATED, help="limit the run to this instruction set")


def emulate(name: str | None) -> None:
    """Restart this program with the limits in its environment, unless they are there."""
    wanted = EMULATED[name] if name else {}
    if any(os.environ.get(each) != value for each, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)  # noqa: S606


def titled(title: str, name: str | None) -> str:
    """Return a table's title with what was emulated."""
    return f"{title} emulated {name}" if name else title
