"""Track the service's resident size over many requests: python benchmarks/memory.py [--requests N].

One request to /embed in `--whole-every` is a full one (a 1024 px photo, aligned, answered with a
JPEG); the others send an aligned face and receive its code, which is cheaper. The service keeps
codes under latent ids as usual, so its size grows until the store is full (2,000 codes).
"""

import argparse
from itertools import cycle, islice

import httpx2 as httpx
import numpy as np
from load import Ask, closed_loop
from photos import astronaut, drawn
from running import Service
from tables import show

MEGABYTE = 1e6


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--whole-every", type=int, default=10, help="one full request in this many")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--checkpoints", type=int, default=20)
    options = parser.parse_args()
    whole = post(astronaut(), "image/jpeg")
    rows: list[dict[str, object]] = []
    with Service() as service:
        code = post(drawn(service.url, seed=1), "application/x-npy", align="none")
        asks = cycle([whole] + [code] * (options.whole_every - 1))
        chunk = options.requests // options.checkpoints
        rows.append({"requests": 0, "429 or failed": 0, **sizes(service)})
        for i in range(options.checkpoints):
            tally = closed_loop(service.url, islice(asks, chunk), options.clients)
            bad = tally.rejected + tally.failed.total()
            rows.append({"requests": (i + 1) * chunk, "429 or failed": bad, **sizes(service)})
    show("memory", rows)
    for name in ("service MB", "worker MB"):
        print(f"{name}: {slope(rows, name):.2f} per 1,000 requests in the second half")


def post(photo: bytes, accept: str, **options: str) -> Ask:
    """Return a request to /embed."""

    async def ask(http: httpx.AsyncClient) -> httpx.Response:
        headers = {"Content-Type": "image/jpeg", "Accept": accept}
        return await http.post("/embed", content=photo, params=options, headers=headers)

    return ask


def sizes(service: Service) -> dict[str, object]:
    """Return the resident size of each process."""
    return {f"{k} MB": v / MEGABYTE for k, v in service.resident_bytes().items()}


def slope(rows: list[dict[str, object]], name: str) -> float:
    """Return the slope of a line through the second half, in megabytes per 1,000 requests."""
    half = rows[len(rows) // 2 :]
    thousands = [float(str(row["requests"])) / 1000 for row in half]
    return float(np.polyfit(thousands, [float(str(row[name])) for row in half], 1)[0])


if __name__ == "__main__":
    main()
