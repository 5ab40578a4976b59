"""A Ray cluster of two workers on this machine, with the real networks."""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from model_core.batch import cluster
from model_core.batch.embedding import Wanted, embed_photos
from model_core.batch.output_folder import SETTINGS
from model_core.batch.storage import Folder
from model_core.batch.table import TABLE
from model_core.batch.workers import PhotoWorkers
from model_core.errors import InvalidInputError
from model_core.skipped import SKIPPED
from tests.model_core.batch.conftest import EAGER

ROOT = Path(__file__).parents[3]
NONE = argparse.Namespace()  # networks that are never loaded
LIMIT_S = 300
NAME = b"ray::MapWorker(Map(ShardEmbedder)).submit"  # as Ray titles an actor with a task


@pytest.fixture(scope="module")
def photos(tmp_path_factory, predictor):
    """Nine photos of faces, one of none, a damaged one and one that is not there."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "below").mkdir()
    for seed in range(3):
        image = Image.fromarray(predictor.synthesize(predictor.sample(seed, 0.7))[0])
        for turn in range(3):
            image.resize((400 + turn, 400)).save(folder / f"{turn}-{seed}.jpg", quality=90)
    shutil.move(folder / "2-2.jpg", folder / "below" / "2-2.jpg")
    Image.new("RGB", (300, 300), (90, 120, 150)).save(folder / "grey.jpg")
    (folder / "zero.jpg").write_bytes(b"\xff\xd8\xff no photo")
    (folder / "gone.jpg").symlink_to("nowhere")
    return folder


@pytest.fixture(scope="module")
def by_one_process(photos, tmp_path_factory, eager, models):
    """What `wplus embed` writes with one thread, as each worker has."""
    out = tmp_path_factory.mktemp("one") / "out"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        wanted = Wanted(figures=False, shard_photos=2)
        with PhotoWorkers(1, models) as started:
            embed_photos(photos, out, eager, started, wanted, lambda *_: None)
    finally:
        torch.set_num_threads(threads)
    return out


def processes(name):
    """Ids of the processes with that in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if name in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def descendants(pid):
    """Ids of the processes that a process has started, and they in turn."""
    below = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        below.setdefault(parent, []).append(int(process.name))
    found, new = set(), [pid]
    while new:
        new = [child for each in new for child in below.get(each, ())]
        found |= set(new)
    return found


def wait_until(condition):
    end_s = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < end_s
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_the_table_with_a_worker_killed_equals_that_of_one_process(
    photos, by_one_process, tmp_path, cache
):
    """What an interrupted run has finished stays; the rest comes from the cluster."""
    out = tmp_path / "out"
    shutil.copytree(by_one_process, out)
    for number in (1, 2, 3, 5):
        (out / TABLE / f"part-{number:05d}.parquet").unlink()
    kept = {part: part.stat().st_mtime_ns for part in (out / TABLE).iterdir()}
    command = [sys.executable, "-m", "wplus", "embed", photos, "-o", out.as_uri(), "--ray", "local"]
    flags = ["--actors", "2", "--shard", "2", *EAGER]
    environment = os.environ | {"WPLUS_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen(
        [*command, *flags],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with run:
        said = []
        Thread(target=lambda: said.extend(run.stdout), daemon=True).start()

        def working():
            assert run.poll() is None, "".join(said)
            return descendants(run.pid) & set(processes(NAME))

        killed = min(wait_until(working))
        everything = descendants(run.pid)
        os.kill(killed, signal.SIGKILL)
        run.wait(LIMIT_S)
    assert run.returncode == 0, "".join(said)
    assert "9 of 12 photos embedded" in said[-1]
    written = [file.relative_to(out) for file in out.rglob("*") if not file.name.startswith(".")]
    for file in written:
        if (out / file).is_file():
            assert (out / file).read_bytes() == (by_one_process / file).read_bytes(), file
    assert {SETTINGS, SKIPPED} < {file.name for file in written}
    assert len(list((out / TABLE).iterdir())) == 6
    assert all(part.stat().st_mtime_ns == was for part, was in kept.items())
    codes = pq.read_table(out / TABLE)["code"].drop_null()
    assert np.unique(np.stack(codes.to_numpy(zero_copy_only=False)), axis=0).shape[0] == 9
    wait_until(lambda: not everything & set(processes(b"")))  # nothing of it is left behind


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("ray://127.0.0.1:10001", "ray job submit"),
        ("127.0.0.1", "HOST:PORT"),
        ("127.0.0.1:x", "HOST:PORT"),
        ("", "HOST:PORT"),
    ],
)
def test_addresses_that_are_none_are_refused(address, rule):
    with pytest.raises(InvalidInputError, match=rule), cluster.connected(address):
        pass


def test_where_nobody_listens_there_is_no_cluster():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        with (
            pytest.raises(cluster.ClusterError, match="no Ray cluster answers"),
            cluster.connected(address),
        ):
            pass


def test_without_the_extra_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(cluster.ClusterError, match=r"pip install 'wplus\[scale\]'"),
        cluster.connected("local"),
    ):
        pass


def test_something_else_that_listens_is_told_from_a_cluster():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with server.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        Thread(target=answer, daemon=True).start()
        with (
            pytest.raises(cluster.ClusterError, match="something else does"),
            cluster.connected(f"127.0.0.1:{server.getsockname()[1]}"),
        ):
            pass


@pytest.mark.parametrize(
    "workers", [cluster.Workers(cpus=0), cluster.Workers(most=0), cluster.Workers(gpus=-1.0)]
)
def test_sizes_out_of_range_are_refused(workers, photos, tmp_path):
    source, target = Folder.open(str(photos)), Folder.open(str(tmp_path / "out"))
    with pytest.raises(InvalidInputError, match="or more, got"):
        cluster.embed_on_cluster(source, target, NONE, Wanted(), workers, lambda *_: None)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_photos_is_refused(tmp_path):
    empty = Folder.open(str(tmp_path))
    with pytest.raises(InvalidInputError, match="must be a folder of photos"):
        cluster.embed_on_cluster(empty, empty, NONE, Wanted(), cluster.Workers(), lambda *_: None)


def test_an_error_of_an_actor_is_told_without_rays_words():
    """The text is what Ray 2.60 gives for an actor that raised."""
    told = """\x1b[36mray::MapWorker(Map(ShardEmbedder)).submit()\x1b[39m (pid=17757, ip=127.0.0.1)
  File "cluster_worker.py", line 10, in __call__
model_core.batch.shared_table.SupersededError: another run has begun to write /out

The above exception was the direct cause of the following exception:

ray.exceptions.UserCodeException: UDF failed to process a data block.
To change retry attempts, backoff, or which errors are retried, configure them."""
    assert cluster.reason_of(RuntimeError(told)) == "another run has begun to write /out"
    full = told.replace("model_core.batch.shared_table.SupersededError", "OSError")
    assert cluster.reason_of(RuntimeError(full)).startswith("OSError: another run")
    died = "The actor died unexpectedly.\nIts worker was killed."
    assert cluster.reason_of(RuntimeError(died)) == "The actor died unexpectedly."
