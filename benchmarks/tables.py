"""Results as a table for people and a file for machines."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def show(title: str, rows: Sequence[dict[str, object]]) -> None:
    """Print rows of the same columns as a Markdown table, and write them to benchmarks/results."""
    print(f"\n{title}\n")
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(map(_cell, row.values()))} |", flush=True)
    save(title, rows)


def save(title: str, rows: object) -> None:
    """Write results to benchmarks/results, with what they were measured on."""
    about = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{title.replace(' ', '_')}.json"
    file.write_text(json.dumps(about | {"rows": rows}, indent=2) + "\n")


def _cell(value: object) -> str:
    """Write three digits that count, and no fewer than the number has before its point."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return "" if value is None else str(value)
