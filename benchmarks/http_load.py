"""Measure latency and throughput under HTTP load: python benchmarks/http_load.py [--seconds N].

Runs a closed loop of clients, then an open loop at multiples of the closed loop's best throughput,
up to several times the service's capacity. Latencies are measured by the client, which shares the
processors with the service.
"""

import argparse
import itertools
from collections.abc import Iterator

import httpx2 as httpx
from load import Ask, closed_loop, open_loop, until
from photos import astronaut, drawn, shifted
from running import Service
from tables import show

WARM_UP_S = 3.0

Files = list[tuple[str, bytes]]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each load")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5, 0.75, 1, 1.5, 3])
    options = parser.parse_args()
    with Service() as service:
        url = service.url
        for name, ask in calls(astronaut(), drawn(url, seed=1)).items():
            closed_loop(url, until(ask, WARM_UP_S), 1)
            rows, best = [], 0.0
            for clients in options.clients:
                tally = closed_loop(url, until(ask, options.seconds), clients)
                rows.append({"clients": clients, **tally.row()})
                best = max(best, tally.per_s)
            show(f"{name} closed loop", rows)
            rates = [share * best for share in options.shares]
            rows = [
                {"requests per s": rate, **open_loop(url, ask, rate, options.seconds).row()}
                for rate in rates
            ]
            show(f"{name} open loop", rows)


def calls(first: bytes, second: bytes) -> dict[str, Ask]:
    """Return the requests by name; each sends photos and receives images."""

    def post(path: str, files: Iterator[Files], accept: str, **options: int) -> Ask:
        headers = {"Accept": accept}

        async def ask(http: httpx.AsyncClient) -> httpx.Response:
            return await http.post(path, files=next(files), data=options, headers=headers)

        return ask

    # A service keeps the features of the last code.
    each = itertools.cycle([[("image", photo)] for photo in shifted(first)])
    both = itertools.repeat([("image", first), ("image", second)])
    pair = itertools.repeat([("gray", first), ("color", second)])
    return {
        "embed": post("/embed", each, "image/jpeg"),
        "morph of 5 steps": post("/morph", both, "application/json", steps=5),
        "colorize": post("/colorize", pair, "image/jpeg"),
    }


if __name__ == "__main__":
    main()
