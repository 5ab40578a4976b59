"""Time several variants interleaved, so that a slow period of the machine affects all alike."""

import statistics
import time
from collections.abc import Callable

from tables import save


def interleave(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Call each variant once per round, after one warm-up round.

    Args:
        variants: Functions without arguments, by name.
        rounds: Number of timed rounds.

    Returns:
        Seconds of each call, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for i in range(rounds + 1):
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            if i:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def report(title: str, seconds: dict[str, list[float]], unit: str = "ms") -> None:
    """Print a table of medians, quartiles and ratios, and write it to benchmarks/results.

    Args:
        title: Title of the table; also names the file.
        seconds: Result of interleave; ratios are relative to the first variant.
        unit: "ms" or "s".
    """
    scale = {"ms": 1000.0, "s": 1.0}[unit]
    first = statistics.median(next(iter(seconds.values())))
    print(f"\n{title}, {len(next(iter(seconds.values())))} interleaved rounds, {unit}\n")
    print("| variant | median | quartiles | relative to the first |")
    print("|---|---|---|---|")
    rows = {}
    for name, values in seconds.items():
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        rows[name] = {"median_s": median, "quartiles_s": [low, high], "ratio": median / first}
        cells = [f"{x * scale:.3g}" for x in (median, low, high)]
        print(f"| {name} | {cells[0]} | {cells[1]} to {cells[2]} | {median / first:.2f} |")
    save(title, rows)
