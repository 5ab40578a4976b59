"""What a refine job costs /embed: python benchmarks/beside_job.py [--rounds N].

Blocks of requests without and with a running job, in turns. The worker shares the processors.
"""

import argparse
import time

import httpx2 as httpx
from load import Tally, closed_loop, until
from photos import astronaut
from running import Service
from tables import show

from wplus_client import Client, Job
from wplus_client.progress import TERMINAL

MAX_STEPS = 5000  # more than any block has time for
WARM_UP_S = 3.0
HEADERS = {"Content-Type": "image/jpeg", "Accept": "image/jpeg"}


def main() -> None:
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each block")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    photo = astronaut()

    async def embed(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post("/embed", content=photo, headers=HEADERS)

    rows: list[dict[str, object]] = []
    with Service() as service, Client(service.url, timeout_s=120) as client:
        closed_loop(service.url, until(embed, WARM_UP_S), 1)
        for clients in options.clients:
            alone, beside, steps = Tally(), Tally(), 0
            for _ in range(options.rounds):
                alone += closed_loop(service.url, until(embed, options.seconds), clients)
                job = begin(client, photo)
                before = step_of(job)
                beside += closed_loop(service.url, until(embed, options.seconds), clients)
                steps += step_of(job) - before
                end(job)
            rows.append(
                {"clients": clients, "job": "none", "its steps a second": None, **alone.row()}
            )
            pace = steps / beside.took_s
            rows.append(
                {"clients": clients, "job": "running", "its steps a second": pace, **beside.row()}
            )
    show("embed beside a job", rows)


def begin(client: Client, photo: bytes) -> Job:
    """Submit a job, wait until it steps."""
    job = client.refine(photo, steps=MAX_STEPS)
    while step_of(job) < 1:
        time.sleep(0.1)
    return job


def step_of(job: Job) -> int:
    """Ask how far it is, as of its last heartbeat, a second or so ago."""
    return int(job.status()["progress"]["step"])


def end(job: Job) -> None:
    """Cancel a job, wait until its worker has let go."""
    job.cancel()
    while job.status()["state"] not in TERMINAL:
        time.sleep(0.1)


if __name__ == "__main__":
    main()
