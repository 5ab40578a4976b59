"""Print results as a table and save them as JSON."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from model_core.runtime.verdicts import processor_name

RESULTS = Path(__file__).parent / "results"
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16")


def show(title: str, rows: Sequence[dict[str, object]]) -> None:
    """Print rows as a Markdown table and save them to benchmarks/results."""
    print(f"\n{title}\n")
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(map(_cell, row.values()))} |", flush=True)
    save(title, rows)


def save(title: str, rows: object) -> None:
    """Save results to benchmarks/results, with a description of the machine."""
    about = {
        "processor": processor_name("cpu"),
        "flags": [name for name in FLAGS if name in cpu_flags()],
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{title.replace(' ', '_')}.json"
    file.write_text(json.dumps(about | {"rows": rows}, indent=2) + "\n")


def cpu_flags() -> set[str]:
    """Return the processor's flags, as named by lscpu; empty if the system has no /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    found = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Feat")))
    return {flag for flags in found for flag in flags}


def _cell(value: object) -> str:
    """Format a number to three significant digits, keeping all digits before the point."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return "" if value is None else str(value)
