"""How soon a service that is started answers: python benchmarks/start.py [--rounds N].

Cold is with an empty compile cache, warm with the one that the round's cold start has filled. The
weights are in place.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from running import Service
from tables import show


def main() -> None:
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    seconds: dict[str, list[tuple[float, float]]] = {"cold": [], "warm": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="wplus-compiled-") as compiled:
            for found in seconds.values():
                with Service(compiled=Path(compiled)) as service:
                    found.append((service.ready_s, service.settled_s))
    rows: list[dict[str, object]] = []
    for cache, found in seconds.items():
        ready, settled = (statistics.median(values) for values in zip(*found, strict=True))
        rows.append({"compile cache": cache, "ready, s": ready, "all is compiled, s": settled})
    show("start", rows)


if __name__ == "__main__":
    main()
