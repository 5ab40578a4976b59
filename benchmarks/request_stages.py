"""Measure each stage of a warm /embed: python benchmarks/request_stages.py [--emulate avx2].

Sends one photo, shifted by another number of pixels in each request, as a service keeps the
features of the last code; one request at a time, alternating between the two kinds of answer.
Prints the median of each stage as measured by the service, and of the total as seen by the client.
"""

import argparse
import itertools
import json
import statistics
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from emulation import add_emulate, emulate, titled
from photos import astronaut, shifted
from running import Service
from tables import show

ACCEPTS = ("application/json", "image/jpeg")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--url",
        nargs="+",
        help="running services, to be asked in turn, each with options if any, such as "
        "'http://127.0.0.1:8000?detail=false'; one twice shows the noise; default: start one",
    )
    parser.add_argument(
        "--photo", type=Path, help="JPEG; default: scikit-image's astronaut, 1024 px"
    )
    parser.add_argument("--requests", type=int, default=30)
    add_emulate(parser)
    options = parser.parse_args()
    if options.url and options.emulate:
        parser.error("--emulate limits the service that is started, not one at --url")
    emulate(options.emulate)
    photo = options.photo.read_bytes() if options.photo else astronaut()
    photos = itertools.cycle(shifted(photo))  # a prime number: all get every shift
    with ExitStack() as stack:
        urls = options.url
        if not urls:
            service = stack.enter_context(Service())
            urls = [service.url]
            print(
                f"ready after {service.ready_s:.1f} s, all compiled after {service.settled_s:.1f} s"
            )
        for url in urls:
            tell_version(url)
        kinds = [(number, accept) for accept in ACCEPTS for number in range(len(urls))]
        rounds = [
            [embed(urls[number], next(photos), accept) for number, accept in kinds]
            for _ in range(options.requests + 3)
        ]
    for (number, accept), runs in zip(kinds, zip(*rounds[3:], strict=True), strict=True):
        title = titled(f"stages of {accept.replace('/', ' ')}", options.emulate)
        if len(urls) > 1:
            title += f" from service {number + 1}"
        show(title, rows(runs))


def tell_version(url: str) -> None:
    """Print what a service runs its generator on."""
    with urllib.request.urlopen(f"{url.partition('?')[0]}/version") as answer:  # noqa: S310
        version = json.load(answer)  # early versions lack some of it
    print(", ".join(str(version.get(key)) for key in ("backend", "dtype", "dtype_reason")))


def rows(runs: Sequence[dict[str, float]]) -> list[dict[str, object]]:
    """Return each stage's median and 95th percentile, and its ratio to the generator's time."""
    generator = statistics.median(run["synthesize"] for run in runs)
    found: list[dict[str, object]] = []
    for stage in runs[0]:
        values = sorted(run[stage] for run in runs)
        median = statistics.median(values)
        p95 = values[int(0.95 * (len(values) - 1))]
        ratio = median / generator
        found.append(
            {"stage": stage, "median, ms": median, "p95, ms": p95, "relative to synthesize": ratio}
        )
    return found


def embed(url: str, photo: bytes, accept: str) -> dict[str, float]:
    """Send one request; return milliseconds by stage, and the client's total."""
    headers = {"Content-Type": "image/jpeg", "Accept": accept}
    address, _, options = url.partition("?")
    request = urllib.request.Request(f"{address}/embed?{options}", photo, headers)  # noqa: S310
    started = time.perf_counter()
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        body, timing = answer.read(), answer.headers.get("Server-Timing", "")
    total = (time.perf_counter() - started) * 1000
    if accept == ACCEPTS[0]:
        stages = {k: v for k, v in json.loads(body)["timings_ms"].items() if k != "total"}
    else:
        parts = [part.strip().split(";dur=") for part in timing.split(",") if ";dur=" in part]
        stages = {name: float(ms) for name, ms in parts if name != "total"}
    return stages | {"client's total": total}


if __name__ == "__main__":
    main()
