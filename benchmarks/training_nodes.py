"""Train on two nodes, both this machine: python benchmarks/training_nodes.py [--steps N].

Runs the command of k8s/train with two nodes of one process and one thread each, which meet on the
loopback interface, and with one of them alone, on the same batch. Then times the averaging of the
gradients alone. The steps of the preset smoke are too few to train anything.
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from tables import show
from torch import distributed

from model_core.training.distributed import Ranks
from model_core.weights.shipped import EMBEDDING_NETWORK

ROOT = Path(__file__).parents[1]
PHOTOS, BATCH = 16, 4
REPEATS = 10
FROZEN = re.compile(r"\.running_|\.num_batches_tracked$|^w_")
STEP = re.compile(r"\b(\d+)/(\d+) \[")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6, help="the first is not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--averaging", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.averaging:
        time_averaging()
        return
    with tempfile.TemporaryDirectory(prefix="wplus-bench-") as scratch:
        photos = Path(scratch) / "photos"
        photos.mkdir()
        random = np.random.default_rng(0)
        for index in range(PHOTOS):  # equal ones would be in one shard
            squares = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
            squares.resize((256, 256)).save(photos / f"{index}.png")
        flags = ["--preset=smoke", f"--batch={BATCH}", f"--steps={options.steps}", "--device=cpu"]
        flags += [f"--photos={photos}", "--dtype=float32", "--shards=2"]
        training = ["-m", "--", "model_core.training", *flags]
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for round_ in range(options.rounds):
            for nodes, steps in seconds.items():
                run = f"--run={scratch}/{nodes}-{round_}"
                steps.append(seconds_per_step(launch(nodes, [*training, run])))
        alone, together = (statistics.median(steps) for steps in seconds.values())
    lines = [line.decode() for line in launch(2, [__file__, "--averaging"])[0].stdout.readlines()]
    (averaging_s,) = (float(line.split()[1]) for line in lines if line.startswith("averaging "))
    gradients = sum(tensor.nbytes for tensor in trained_tensors())
    show(
        "training nodes",
        [
            {"what": "step of one process", "value": alone, "unit": "s"},
            {"what": "step of two processes", "value": together, "unit": "s"},
            {"what": "speed-up", "value": alone / together, "unit": "times"},
            {"what": "gradients of a step", "value": gradients / 1e6, "unit": "MB"},
            {"what": "averaging them, loopback", "value": averaging_s, "unit": "s"},
        ],
    )


def launch(nodes: int, program: Sequence[str]) -> list["subprocess.Popen[bytes]"]:
    """Start the manifest's command once for each node."""
    (job,) = (
        document
        for document in yaml.safe_load_all((ROOT / "k8s" / "train" / "train.yaml").read_text())
        if document["kind"] == "Job"
    )
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command = container["command"][1 : container["command"].index("-m")]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = {"--nnodes": nodes, "--master-addr": "127.0.0.1", "--master-port": port}
    started = []
    for rank in range(nodes):
        words = []
        for word in command:
            name = word.partition("=")[0]
            value = rank if name == "--node-rank" else given.get(name)
            words.append(word if value is None else f"{name}={value}")
        started.append(
            subprocess.Popen(  # noqa: S603 - the manifest's words
                [sys.executable, "-m", "torch.distributed.run", *words, *program],
                cwd=ROOT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
    return started


def seconds_per_step(nodes: list["subprocess.Popen[bytes]"]) -> float:
    """Read the first node's progress; return the median of its steps, without the first."""
    first, text, seen = nodes[0], "", {}
    while data := first.stdout.read1(4096):
        text += data.decode(errors="replace")
        for done, _ in STEP.findall(text):
            seen.setdefault(int(done), time.perf_counter())
    for node in nodes:
        rest = node.communicate()[0]
        if node.returncode:
            raise RuntimeError(f"training must succeed, got {(text + rest.decode())[-2000:]}")
    known = sorted(seen)
    return statistics.median((seen[b] - seen[a]) / (b - a) for a, b in pairwise(known) if a > 0)


def trained_tensors() -> list[torch.Tensor]:
    """Return a tensor of zeros for each trained tensor of the embedding network."""
    with safe_open(EMBEDDING_NETWORK, "pt") as file:
        names = [name for name in file.keys() if not FROZEN.search(name)]  # noqa: SIM118 - no dict
        return [torch.zeros(file.get_slice(name).get_shape()) for name in names]


def time_averaging() -> None:
    """Average tensors of the size of the gradients over the processes, and print the seconds."""
    ranks = Ranks.join(torch.device("cpu"))
    tensors = trained_tensors()
    seconds = []
    for _ in range(REPEATS):
        distributed.barrier()
        started = time.perf_counter()
        ranks.average(tensors)
        seconds.append(time.perf_counter() - started)
    if ranks.is_main:
        print(f"averaging {statistics.median(seconds)}", flush=True)
    ranks.leave()


if __name__ == "__main__":
    main()
