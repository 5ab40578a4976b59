"""Measure the HTTP service on a GPU: python benchmarks/gpu_service.py [--device cuda].

For several batch sizes: how soon the service is ready and stops, /embed with 1, 4 and 16 clients
and the batches that this makes, the steps per second of a refine job, and memory. With the default
settings it ends within eight minutes; `--device cpu --seconds 2` shows that it runs.
"""

import argparse
import re
import shutil
import subprocess
import time

import httpx2 as httpx
from load import closed_loop, until
from photos import astronaut
from running import Service
from tables import show

from wplus_client import Client
from wplus_client.progress import TERMINAL

HEADERS = {"Content-Type": "image/jpeg", "Accept": "image/jpeg"}
POLL_S = 0.2
MEGABYTE = 1e6

Row = dict[str, object]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=8.0, help="duration of each load")
    parser.add_argument("--steps", type=int, default=300, help="steps of the refine job")
    parser.add_argument("--compile-s", type=float, default=45.0, help="longest wait to compile")
    options = parser.parse_args()
    photo = astronaut()
    starts: list[Row] = []
    embeds: list[Row] = []
    refines: list[Row] = []
    for batch in options.batches:
        service = Service(
            compile_s=options.compile_s,
            device=options.device,
            shared_device=options.device,
            backend=options.backend,
            max_batch=batch,
        )
        with service:
            for clients in options.clients:
                embeds.append({"largest batch": batch} | embed(service, photo, clients, options))
            if batch == options.batches[0]:
                refines.append(refine(service, photo, options.steps))
            memory = {f"{k} MB": v / MEGABYTE for k, v in service.resident_bytes().items()}
            gpu_mb = gpu_memory_mb()
        starts.append(
            {
                "largest batch": batch,
                "ready s": service.ready_s,
                "compiled s": service.settled_s,
                "stopped s": service.stopped_s,
                "GPU MB": gpu_mb,
                **memory,
            }
        )
    show(f"service on {options.device} start and memory", starts)
    show(f"service on {options.device} embed", embeds)
    show(f"service on {options.device} refine", refines)


def embed(service: Service, photo: bytes, clients: int, options: argparse.Namespace) -> Row:
    """Load /embed with a number of clients."""

    async def ask(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post("/embed", content=photo, headers=HEADERS)

    closed_loop(service.url, until(ask, options.seconds / 4), clients)
    runs, entries = batches(service.url)
    tally = closed_loop(service.url, until(ask, options.seconds), clients)
    runs_after, entries_after = batches(service.url)
    mean = (entries_after - entries) / max(runs_after - runs, 1)
    return {"clients": clients, "mean batch": mean} | tally.row()


def batches(url: str) -> tuple[float, float]:
    """Return how often the device ran, and the entries of all runs, by the service's metrics."""
    text = httpx.get(f"{url}/metrics", timeout=60).text

    def total(suffix: str) -> float:
        found = re.findall(rf"^\w*batch_size_{suffix}\S* (\S+)$", text, re.MULTILINE)
        return sum(map(float, found))

    return total("count"), total("sum")


def refine(service: Service, photo: bytes, steps: int) -> Row:
    """Run one job and time its steps, from the first one on."""
    with Client(service.url, timeout_s=120) as client:
        job = client.refine(photo, steps=steps)
        first_s, first = None, 0
        while (status := job.status())["state"] not in TERMINAL:
            step = int((status["progress"] or {}).get("step", 0))
            if first_s is None and step:
                first_s, first = time.monotonic(), step
            time.sleep(POLL_S)
    if status["state"] != "succeeded" or first_s is None:
        raise RuntimeError(f"the job must succeed after its first steps, got {status}")
    seconds = time.monotonic() - first_s
    return {"steps": steps, "seconds": seconds, "steps per s": (steps - first) / seconds}


def gpu_memory_mb() -> float | None:
    """Return the memory in use on the first GPU, by nvidia-smi; None without one."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return float(run.stdout.splitlines()[0]) if run.returncode == 0 else None


if __name__ == "__main__":
    main()
