"""Time several ways to do one thing, in turns, so that a slow moment of the machine hits all."""

import statistics
import time
from collections.abc import Callable

from tables import save


def interleave(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Call each way once a round, after one round that does not count.

    Args:
        ways: By name; each is called without arguments.
        rounds: Rounds that count.

    Returns:
        Seconds of each call, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if i:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def report(title: str, seconds: dict[str, list[float]], unit: str = "ms") -> None:
    """Print a table of medians, quartiles and ratios, and write it to benchmarks/results.

    Args:
        title: Also the name of the file.
        seconds: From interleave; ratios are to the first.
        unit: "ms" or "s".
    """
    scale = {"ms": 1000.0, "s": 1.0}[unit]
    first = statistics.median(next(iter(seconds.values())))
    print(f"\n{title}, {len(next(iter(seconds.values())))} rounds in turns, {unit}\n")
    print("| way | median | quartiles | times the first |")
    print("|---|---|---|---|")
    rows = {}
    for name, values in seconds.items():
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        rows[name] = {"median_s": median, "quartiles_s": [low, high], "ratio": median / first}
        cells = [f"{x * scale:.3g}" for x in (median, low, high)]
        print(f"| {name} | {cells[0]} | {cells[1]} to {cells[2]} | {median / first:.2f} |")
    save(title, rows)
