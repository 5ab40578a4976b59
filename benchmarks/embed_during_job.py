"""Measure how a refine job slows /embed: python benchmarks/embed_during_job.py [--rounds N].

Alternates blocks of requests with and without a running job. The worker shares the processors.
"""

import argparse
import itertools
import time

import httpx2 as httpx
from load import Tally, closed_loop, until
from photos import astronaut, shifted
from running import Service
from tables import show

from wplus_client import Client, Job
from wplus_client.progress import TERMINAL

MAX_STEPS = 5000  # more than any block can finish
WARM_UP_S = 3.0
HEADERS = {"Content-Type": "image/jpeg", "Accept": "image/jpeg"}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each block")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    photo = astronaut()
    photos = itertools.cycle(shifted(photo))  # a service keeps the features of the last code

    async def embed(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post("/embed", content=next(photos), headers=HEADERS)

    rows: list[dict[str, object]] = []
    with Service() as service, Client(service.url, timeout_s=120) as client:
        closed_loop(service.url, until(embed, WARM_UP_S), 1)
        for clients in options.clients:
            alone, during, steps = Tally(), Tally(), 0
            for _ in range(options.rounds):
                alone += closed_loop(service.url, until(embed, options.seconds), clients)
                job = begin(client, photo)
                before = step_of(job)
                during += closed_loop(service.url, until(embed, options.seconds), clients)
                steps += step_of(job) - before
                end(job)
            rows.append({"clients": clients, "job": "none", "job steps per s": None, **alone.row()})
            pace = steps / during.took_s
            rows.append(
                {"clients": clients, "job": "running", "job steps per s": pace, **during.row()}
            )
    show("embed during a job", rows)


def begin(client: Client, photo: bytes) -> Job:
    """Submit a job and wait for its first step."""
    job = client.refine(photo, steps=MAX_STEPS)
    while step_of(job) < 1:
        time.sleep(0.1)
    return job


def step_of(job: Job) -> int:
    """Return the step in the job's last heartbeat, about a second old."""
    return int(job.status()["progress"]["step"])


def end(job: Job) -> None:
    """Cancel a job and wait until its worker has released it."""
    job.cancel()
    while job.status()["state"] not in TERMINAL:
        time.sleep(0.1)


if __name__ == "__main__":
    main()
