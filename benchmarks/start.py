"""Measure how soon a started service answers: python benchmarks/start.py [--rounds N].

A cold start has an empty compile cache, a warm one the cache filled by that round's cold start. The
weights are in place. Until the generator is compiled, a slower backend answers.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from running import Service
from tables import show

MOMENTS = {
    "ready_s": "/readyz answers 200",
    "fast_s": "/version names the compiled backend",
    "settled_s": "everything is compiled",
}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="wplus-compiled-") as compiled:
            for cache in ("cold", "warm"):
                with Service(compiled=Path(compiled)) as service:
                    for moment in MOMENTS:
                        seconds.setdefault((cache, moment), []).append(getattr(service, moment))
    rows: list[dict[str, object]] = [
        {
            "compile cache": cache,
            "until": MOMENTS[moment],
            "median, s": statistics.median(found),
            "min, s": min(found),
            "max, s": max(found),
        }
        for (cache, moment), found in seconds.items()
    ]
    show("start", rows)


if __name__ == "__main__":
    main()
