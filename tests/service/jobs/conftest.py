"""Fixtures of the jobs' tests: a real Valkey, real workers, jobs of a tiny generator."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import redis
import torch
from prometheus_client import CollectorRegistry, Counter

from service.jobs.embedded import find_server, server_command
from service.jobs.payloads import JobInput
from service.jobs.store import JobStore, Submission
from service.redis_keys import connect, connect_async
from tests.model_core.tiny import FINGERPRINT, POISON, SHAPE

ROOT = Path(__file__).parents[3]


class Valkey:
    """A server of its own, which can be killed and started again on the same data."""

    def __init__(self, folder):
        self.folder = folder
        self.socket = Path(tempfile.mkdtemp(prefix="wplus-test-")) / "s"
        self.url = f"unix://{self.socket}"
        self._clients = []
        self.client = self.connect()

    def connect(self):
        self._clients.append(connect(self.url))
        return self._clients[-1]

    def start(self):
        command = server_command(find_server(), self.socket, self.folder)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for(self._answers)

    def settle(self):
        """Wait until everything written so far is on the disk, which a loaded one delays."""
        self.client.set("settled", 1)
        assert self.client.execute_command("WAITAOF", 1, 0, 20_000)[0] == 1

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        for client in self._clients:
            client.close()
        self.kill()
        self.socket.unlink(missing_ok=True)
        self.socket.parent.rmdir()

    def _answers(self):
        with contextlib.suppress(redis.RedisError):
            return self.client.ping()


def wait_for(condition, seconds=400.0):
    """Wait for a condition that something else brings about; answer what it answered."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


@pytest.fixture
def valkey(tmp_path):
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.close()


def submission(steps=20, *, owner="me", key="", fingerprint="", value=0.0, photo=None, **fields):
    """A job towards a face of noise."""
    target = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    ws = torch.full(SHAPE, value)
    options = {"steps": steps, "start": "mean", "fingerprint": FINGERPRINT} | fields
    return Submission(owner, JobInput(target, ws), options, key, fingerprint, photo)


def poisoned():
    """A job that ends every worker that takes it."""
    return submission(value=POISON)


@pytest.fixture
async def make_store(valkey):
    """Open the service's side of the jobs."""
    clients = []

    def make(max_queued=10, ttl_s=60, max_photos=2):
        errors = Counter("errors", "", ("op",), registry=CollectorRegistry())
        clients.append(connect_async(valkey.url))
        return JobStore(clients[-1], max_queued, ttl_s, errors, max_photos)

    yield make
    for client in clients:
        await client.aclose()


class Worker:
    """A worker process on the tiny generator, its log kept in a file."""

    def __init__(self, url, log, **settings):
        self.log_file = log
        names = {f"WPLUS_{name.upper()}": str(value) for name, value in settings.items()}
        step_s = names.pop("WPLUS_STEP_S", "0.02")
        environment = {"WPLUS_REDIS_URL": url, "TINY_STEP_S": step_s, "OMP_NUM_THREADS": "1"}
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.service.jobs.tiny"],
                env=os.environ | environment | names,
                cwd=ROOT,
                stderr=out,
            )

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return self.log_file.read_text()

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def start_worker(valkey, tmp_path):
    """Start workers that are quick to miss each other; all are gone after the test."""
    workers = []

    def start(**settings):
        quick = {"job_lease_s": 1, "job_beat_s": 0.05, "job_save_s": 0.1}
        log = tmp_path / f"worker{len(workers)}.log"
        workers.append(Worker(valkey.url, log, **quick | settings))
        return workers[-1]

    yield start
    for worker in workers:
        worker.process.kill()
        worker.process.wait()
