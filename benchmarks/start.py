"""How soon a service that is started answers: python benchmarks/start.py [--rounds N].

Cold is with an empty compile cache, warm with the one that the round's cold start has filled. The
weights are in place. A slower backend answers until the generator has been compiled.
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
    "settled_s": "all is compiled",
}


def main() -> None:
    """Run the measurement from the command line."""
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
            "least, s": min(found),
            "most, s": max(found),
        }
        for (cache, moment), found in seconds.items()
    ]
    show("start", rows)


if __name__ == "__main__":
    main()
