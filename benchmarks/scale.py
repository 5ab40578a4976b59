"""Compare `wplus embed` with and without Ray: python benchmarks/scale.py [--photos N].

Both embed the same photos without figures, interleaved, on a local Ray of two cores: one process of
two threads, an actor of two cores, an actor of one, two of one. Loading is not in the rates: a run
counts from its first shards. Then a thousand empty shards show what Ray itself takes for each.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from photos import astronaut
from tables import show

from model_core.batch import cluster
from model_core.batch.__main__ import parse
from model_core.batch.cluster import Workers
from model_core.batch.command import find_models, load_predictor
from model_core.batch.embedding import Row, Wanted, embed_photos
from model_core.batch.storage import Folder
from model_core.batch.workers import PhotoWorkers
from model_core.weights.cache import cache_folder

NAMES = 256  # of a shard
MILLION = 1_000_000


class Empty:
    """An actor that does nothing."""

    def __init__(self, task: object):
        pass

    def __call__(self, shard: Row) -> Row:
        """Return the number."""
        return {"number": shard["number"]}


class Clock:
    """Collects when how many photos were done."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = [(time.perf_counter(), 0)]

    def __call__(self, done: int, _total: int, _faces: int) -> None:
        """Take a call of `Progress`."""
        self.seen.append((time.perf_counter(), done))

    def rate(self, warm: int) -> float:
        """Return photos a second, from the moment that so many were done."""
        start_s, before = next(each for each in self.seen if each[1] >= warm)
        end_s, done = self.seen[-1]
        return (done - before) / (end_s - start_s)

    def start_s(self, warm: int) -> float:
        """Return the seconds until so many were done."""
        return next(at for at, done in self.seen if done >= warm) - self.seen[0][0]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--shard", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--empty", type=int, default=1000)
    options = parser.parse_args()
    cache = cache_folder(os.environ.get("WPLUS_CACHE"))
    networks = parse(["-", "-o", "-", "--backend", "openvino"])
    networks.device = "cpu"
    # Ray lets its workers yield to other processes; here both sides must have the same share.
    os.environ.setdefault("RAY_worker_niceness", "0")
    wanted = Wanted(figures=False, shard_photos=options.shard)
    with tempfile.TemporaryDirectory(prefix="wplus-bench-") as scratch, cluster.connected("local"):
        photos = Path(scratch) / "photos"
        photos.mkdir()
        for index in range(options.photos):
            (photos / f"{index:06d}.jpg").write_bytes(astronaut())
        outs = iter(range(MILLION))

        def alone() -> Clock:
            clock = Clock()
            with PhotoWorkers(1, find_models(cache)) as workers:
                workers.start()
                predictor = load_predictor(cache, networks)
                out = Path(scratch) / f"out-{next(outs)}"
                embed_photos(photos, out, predictor, workers, wanted, clock)
            return clock

        def by_ray(workers: Workers) -> Clock:
            clock = Clock()
            source = Folder.open(str(photos))
            target = Folder.open(f"{scratch}/out-{next(outs)}")
            cluster.embed_on_cluster(source, target, networks, wanted, workers, clock)
            return clock

        cores = torch.get_num_threads()
        runs: dict[str, tuple[int, Callable[[], Clock]]] = {
            f"one process, {cores} threads": (cores, alone),
            f"Ray, 1 actor of {cores} cores": (cores, lambda: by_ray(Workers(cores, most=1))),
            "Ray, 1 actor of 1 core": (1, lambda: by_ray(Workers(1, most=1))),
            "Ray, 2 actors of 1 core": (2, lambda: by_ray(Workers(1, most=2))),
        }
        clocks: dict[str, list[Clock]] = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, (_, run) in runs.items():
                clocks[name].append(run())
        empty_s = time_empty(options.empty)
    first_rates = [clock.rate(options.shard) for clock in next(iter(clocks.values()))]
    rows: list[dict[str, object]] = []
    for name, (used, _) in runs.items():
        rates = [
            clock.rate(options.shard * (2 if "2 actors" in name else 1)) for clock in clocks[name]
        ]
        starts = [clock.start_s(options.shard) for clock in clocks[name]]
        rate = statistics.median(rates)
        rows.append(
            {
                "variant": name,
                "photos a second": rate,
                "relative to the first": rate / statistics.median(first_rates),
                "core hours for a million": used * MILLION / rate / 3600,
                "seconds to the first shard": statistics.median(starts),
            }
        )
    show("scale", rows)
    show(
        "scale empty shards",
        [{"what": "an empty shard", "seconds": empty_s, "shards": options.empty}],
    )


def time_empty(count: int) -> float:
    """Return the seconds that Ray takes for a shard with nothing to do."""
    shards = [
        {"number": n, "places": [f"photos/{n}/{i}.jpg" for i in range(NAMES)]} for n in range(count)
    ]
    results = cluster.run_shards(Empty, None, shards, Workers(1, most=1), 1, 1)
    next(results)
    started = time.perf_counter()
    rest = sum(1 for _ in results)
    return (time.perf_counter() - started) / rest


if __name__ == "__main__":
    main()
