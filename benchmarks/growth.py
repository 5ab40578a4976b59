"""Measure how costs grow with photo size, faces, rows, batch size and queue length.

    python benchmarks/growth.py [--rounds N] [--jobs 10 100 1000 10000]

Each table is relative to its first row. Photos go to a real service that answers with codes, so
that neither the generator nor JPEG encoding hides the growth.
"""

import argparse
import asyncio
import math
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx2 as httpx
import numpy as np
import torch
from interleave import interleave, report
from photos import astronaut, crowd, drawn
from running import Service

from model_core.images import FACE_PX
from model_core.predictor import Predictor
from model_core.runtime.allocator import keep_freed_memory
from model_core.weights.cache import cache_folder
from model_core.weights.shipped import EMBEDDING_NETWORK
from service.jobs.embedded import Embedded
from service.jobs.lease import Leases
from service.jobs.payloads import JobInput
from service.jobs.store import JobStore, Submission
from service.observability.metrics import Telemetry
from service.redis_keys import connect, connect_async
from service.settings import Settings

MEGAPIXELS = (0.1, 0.5, 1, 4, 12, 25)
FACES = (1, 2, 4, 8, 16)
ROWS = (1, 9, 18)
BATCHES = (1, 2, 4, 8)
CODE = (18, 512)

T = TypeVar("T")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--jobs", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    options = parser.parse_args()
    keep_freed_memory()
    with Service() as service, httpx.Client(base_url=service.url, timeout=60) as http:
        for title, variants in (
            ("growth by upload size", by_upload(http)),
            ("growth by faces", by_faces(http, drawn(service.url, seed=1))),
            ("growth by rows blended", by_rows(http)),
        ):
            report(title, interleave(variants, options.rounds))
    predictor = Predictor.load(cache_folder(os.environ.get("WPLUS_CACHE")), EMBEDDING_NETWORK)
    face, ws = np.full((1, FACE_PX, FACE_PX, 3), 127, np.uint8), predictor.sample(0, 0.7)
    for title, variants in (
        ("growth of embedding by batch", by_batch(predictor.embed, lambda n: face.repeat(n, 0))),
        (
            "growth of synthesis by batch",
            by_batch(predictor.synthesize, lambda n: ws.repeat(n, 1, 1)),
        ),
    ):
        report(title, interleave(variants, options.rounds))
    for operation, seconds in by_jobs(options.jobs, 10 * options.rounds).items():
        report(f"growth of {operation} by waiting jobs", seconds)


def by_upload(http: httpx.Client) -> dict[str, Callable[[], object]]:
    """Embed one portrait at several sizes."""
    variants: dict[str, Callable[[], object]] = {}
    for megapixels in MEGAPIXELS:
        side = math.isqrt(int(megapixels * 1e6))
        photo = astronaut(side, side)
        variants[f"{megapixels} MP, {len(photo) / 1e6:.2g} MB"] = embedding(http, photo)
    return variants


def by_faces(http: httpx.Client, face: bytes) -> dict[str, Callable[[], object]]:
    """Embed the largest face of a photo with several, all of which are detected."""
    variants: dict[str, Callable[[], object]] = {}
    for count in FACES:
        photo = crowd(face, count)
        answer = http.post("/embed", content=photo, headers={"Content-Type": "image/jpeg"})
        found = answer.raise_for_status().json()["face"]["count"]
        variants[f"{count} in the photo, {found} found"] = embedding(http, photo)
    return variants


def by_rows(http: httpx.Client) -> dict[str, Callable[[], object]]:
    """Blend some rows of two codes and render the result."""
    drawn_twice = (http.post("/generate", params={"seed": seed}) for seed in (1, 2))
    sources = [
        {"latent_id": answer.raise_for_status().json()["latent_id"]} for answer in drawn_twice
    ]

    def morph(rows: int) -> Callable[[], object]:
        body = {"sources": sources, "first_row": CODE[0] - rows}
        headers = {"Accept": "image/jpeg"}
        return lambda: http.post("/morph", json=body, headers=headers).raise_for_status()

    return {f"{rows} rows": morph(rows) for rows in ROWS}


def embedding(http: httpx.Client, photo: bytes) -> Callable[[], object]:
    """Return a request for the code of a photo's largest face."""
    headers = {"Content-Type": "image/jpeg", "Accept": "application/x-npy"}
    return lambda: http.post("/embed", content=photo, headers=headers).raise_for_status()


def by_batch(
    run: Callable[[T], object], batch_of: Callable[[int], T]
) -> dict[str, Callable[[], object]]:
    """Run a network on batches, without the service."""
    return {f"{size} in the batch": partial(run, batch_of(size)) for size in BATCHES}


def by_jobs(depths: list[int], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Submit and claim jobs while others wait, in a private Valkey.

    The jobs that fill the queue carry a small photo, because 10,000 real ones would take 2.4 GB;
    the timed submissions carry one of the real size.

    Returns:
        Seconds by operation and number of waiting jobs.
    """
    with tempfile.TemporaryDirectory(prefix="wplus-bench-") as folder:
        embedded = Embedded(Settings(cache=Path(folder)))
        try:
            return asyncio.run(_queue(embedded.start_server(), depths, rounds))
        finally:
            asyncio.run(embedded.stop())


async def _queue(url: str, depths: list[int], rounds: int) -> dict[str, dict[str, list[float]]]:
    client, blocking = connect_async(url), connect(url)
    store = JobStore(client, max(depths) + 2, 3600, Telemetry().redis_errors)
    leases = Leases(blocking, lease_s=30.0)
    operations = ("submission", "place in line", "claim")
    seconds: dict[str, dict[str, list[float]]] = {
        operation: {f"{depth} wait": [] for depth in depths} for operation in operations
    }
    waiting = 0
    for depth in depths:
        for _ in range(depth - waiting):
            await store.submit(job(8))
        waiting = depth
        for _ in range(rounds):
            moments = [time.perf_counter()]
            job_id, _ = await store.submit(job(FACE_PX))
            moments.append(time.perf_counter())
            await store.position(job_id)
            moments.append(time.perf_counter())
            claim = leases.take().claim
            moments.append(time.perf_counter())
            assert claim is not None  # noqa: S101 - as many wait as were submitted
            leases.finish(claim, "cancelled", b"", {})
            for operation, took_s in zip(operations, np.diff(moments), strict=True):
                seconds[operation][f"{depth} wait"].append(float(took_s))
    blocking.close()
    await client.aclose()
    return seconds


def job(size_px: int) -> Submission:
    """Return a job for a grey face."""
    target = np.full((size_px, size_px, 3), 127, np.uint8)
    fields = {"steps": 100, "start": "embedding", "fingerprint": ""}
    return Submission("", JobInput(target, torch.zeros(CODE)), fields, "", "")


if __name__ == "__main__":
    main()
