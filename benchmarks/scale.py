"""Compare `wplus embed` with and without Ray: python benchmarks/scale.py [--photos N].

Both embed the same photos without figures, interleaved, on a local Ray of two cores: one process of
two threads, an actor of two cores, an actor of one, two of one. Loading is not counted: a run
begins with its first shards. On a machine with other work look at the processor time, which that
hardly changes; it includes Ray's own processes. Then empty shards show what Ray itself takes for
each.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import active_children
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


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a run is.

    Attributes:
        at_s: Time.
        processor_s: Processor time of its processes so far.
        photos: Photos done.
    """

    at_s: float
    processor_s: float
    photos: int


class Clock:
    """Takes a reading whenever a run makes progress.

    Args:
        processes: Returns the ids of the run's processes.
    """

    def __init__(self, processes: Callable[[], set[int]]) -> None:
        self._processes = processes
        self._used_s: dict[int, float] = {}  # of those that have ended too
        self.readings: list[Reading] = []
        self(0, 0, 0)

    def __call__(self, done: int, _total: int, _faces: int) -> None:
        """Take a call of `Progress`."""
        for pid in self._processes():
            used_s = processor_seconds(pid)
            self._used_s[pid] = max(used_s, self._used_s.get(pid, 0.0))
        used_s = sum(self._used_s.values())
        self.readings.append(Reading(time.perf_counter(), used_s, done))

    def after(self, warm: int) -> Reading:
        """Return what it took from the moment that so many photos were done to the end."""
        first, last = self.first(warm), self.readings[-1]
        return Reading(
            last.at_s - first.at_s,
            last.processor_s - first.processor_s,
            last.photos - first.photos,
        )

    def first(self, warm: int) -> Reading:
        """Return the first reading with so many photos."""
        return next(each for each in self.readings if each.photos >= warm)


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process; 0 if it has ended."""
    try:
        fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def own_processes() -> set[int]:
    """Return this process and those that multiprocessing has started."""
    return {os.getpid()} | {child.pid for child in active_children() if child.pid}


def all_processes() -> set[int]:
    """Return this process and all below it, Ray's included."""
    below: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            below.setdefault(int(parent), []).append(int(process.name))
    found, new = {os.getpid()}, [os.getpid()]
    while new:
        new = [child for each in new for child in below.get(each, ())]
        found |= set(new)
    return found


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
            clock = Clock(own_processes)
            with PhotoWorkers(1, find_models(cache)) as workers:
                workers.start()
                predictor = load_predictor(cache, networks)
                out = Path(scratch) / f"out-{next(outs)}"
                embed_photos(photos, out, predictor, workers, wanted, clock)
            return clock

        def by_ray(workers: Workers) -> Clock:
            clock = Clock(all_processes)
            source = Folder.open(str(photos))
            target = Folder.open(f"{scratch}/out-{next(outs)}")
            cluster.embed_on_cluster(source, target, networks, wanted, workers, clock)
            return clock

        cores = torch.get_num_threads()
        runs: dict[str, Callable[[], Clock]] = {
            f"one process, {cores} threads": alone,
            f"Ray, 1 actor of {cores} cores": lambda: by_ray(Workers(cores, most=1)),
            "Ray, 1 actor of 1 core": lambda: by_ray(Workers(1, most=1)),
            "Ray, 2 actors of 1 core": lambda: by_ray(Workers(1, most=2)),
        }
        clocks: dict[str, list[Clock]] = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                clocks[name].append(run())
        empty_s = time_empty(options.empty)
    rows: list[dict[str, object]] = []
    for name, each in clocks.items():
        warm = options.shard * (2 if "2 actors" in name else 1)
        runs_s = [clock.after(warm) for clock in each]
        cost_s = statistics.median(run.processor_s / run.photos for run in runs_s)
        starts = [clock.first(options.shard).at_s - clock.readings[0].at_s for clock in each]
        rows.append(
            {
                "variant": name,
                "photos a second": statistics.median(run.photos / run.at_s for run in runs_s),
                "processor seconds for a photo": cost_s,
                "core hours for a million": cost_s * MILLION / 3600,
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
