"""The Valkey and the worker of our own: started, watched, never left behind."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.jobs import embedded
from service.jobs.embedded import DEVICE, Embedded, EmbeddedError, find_server, worker_variables
from service.jobs.supervisor import Child
from service.process import descendants
from service.redis_keys import connect, job_key
from service.settings import Settings
from tests.service.jobs.conftest import ROOT, wait_for

pytestmark = pytest.mark.anyio
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def start_parent(cache):
    """Start a service's stand-in; return its process, the server's URL and its children's ids."""
    command = [sys.executable, "-m", "tests.service.jobs.parent", str(cache)]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with parent.stdout:
        url, *pids = parent.stdout.readline().split()
    return parent, url, [int(pid) for pid in pids]


def is_running(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_the_server_is_private_and_persistent(tmp_path):
    settings = Settings(cache=tmp_path)
    first = Embedded(settings)
    url = first.start_server()
    socket = Path(url.removeprefix("unix://"))
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    with connect(url) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.set("kept", 1)
    pid = first.server.pid
    await first.stop()
    assert not is_running(pid)
    assert not socket.parent.exists()
    second = Embedded(settings)
    with connect(second.start_server()) as client:
        assert client.get("kept") == b"1"
    await second.stop()


async def test_two_services_do_not_share_a_folder(tmp_path):
    first, second = Embedded(Settings(cache=tmp_path)), Embedded(Settings(cache=tmp_path))
    first.start_server()
    try:
        with pytest.raises(
            EmbeddedError, match=r"another service keeps its jobs in .* WPLUS_REDIS"
        ):
            second.start_server()
        await second.stop()
    finally:
        await first.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
async def test_the_next_start_removes_a_killed_services_folder(tmp_path):
    parent, url, children = start_parent(tmp_path)
    left = Path(url.removeprefix("unix://")).parent
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(is_running(pid) for pid in children), 10)
    assert left.is_dir()
    following = Embedded(Settings(cache=tmp_path))
    following.start_server()
    assert not left.exists()
    await following.stop()


async def test_a_machine_without_a_server_gets_instructions(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded.platform, "machine", lambda: "PDP-11")
    with pytest.raises(EmbeddedError, match=r"pdp-11, got none: .*WPLUS_REDIS_URL"):
        Embedded(Settings(cache=tmp_path)).start_server()


async def test_a_child_that_dies_is_started_again():
    child = Child("sleeper", SLEEP)
    child.start()
    keeper = asyncio.ensure_future(child.keep())
    first = child.pid
    os.kill(first, signal.SIGKILL)
    while child.pid in (None, first):
        await asyncio.sleep(0.05)
    second = child.pid
    keeper.cancel()
    await child.stop(10)
    assert not is_running(first)
    assert not is_running(second)


async def test_a_child_that_does_not_stop_is_killed():
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = Child("deaf", [sys.executable, "-c", deaf])
    child.start()
    pid = child.pid
    await asyncio.sleep(1)
    await child.stop(0.2)
    assert not is_running(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="descendants are found in /proc")
async def test_a_childs_descendants_are_killed_with_it():
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    grandchild = f"import subprocess, sys; subprocess.Popen({SLEEP!r}); "
    child = Child("deaf", [sys.executable, "-c", deaf + grandchild + "time.sleep(600)"])
    child.start()
    while len(pids := descendants(child.pid)) < 1:
        await asyncio.sleep(0.05)
    pids = [child.pid, *pids]
    await child.stop(0.2)
    wait_for(lambda: not any(is_running(pid) for pid in pids), 10)


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_killed_parent_leaves_no_processes_and_loses_no_job(tmp_path):
    parent, url, children = start_parent(tmp_path)
    with connect(url) as client:
        client.hset(job_key("x"), "state", "queued")
    assert all(is_running(pid) for pid in children)
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(is_running(pid) for pid in children), 10)
    parent, url, children = start_parent(tmp_path)
    with connect(url) as client:
        assert client.hget(job_key("x"), "state") == b"queued"
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(is_running(pid) for pid in children), 10)


def test_a_worker_reads_all_settings_of_its_service(tmp_path, monkeypatch):
    given = Settings(
        cache=tmp_path,
        dtype="bfloat16",
        generator="mine",
        log_format="json",
        job_save_s=3,
        max_upload_bytes="7MB",
        rate_limit="10/second",
        worker_metrics_port=0,
    )
    for name, value in worker_variables(given, "unix:///socket").items():
        monkeypatch.setenv(name, value)
    own = {"redis_url": SecretStr("unix:///socket"), "shared_device": DEVICE}
    assert Settings() == given.model_copy(update=own)


def script(path, text):
    """An executable that stands on PATH in place of a server."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "told", "used"),
    [
        ("valkey-server", "echo 'Valkey server v=8.1.0 sha=00000000:0'", True),
        ("redis-server", "echo 'Redis server v=7.2.4 sha=00000000:0'", True),
        ("redis-server", "echo 'Redis server v=6.2.14 sha=00000000:0'", False),
        ("redis-server", "exit 1", False),
    ],
)
def test_a_server_on_the_path_is_used_if_it_is_new_enough(tmp_path, monkeypatch, name, told, used):
    installed = script(tmp_path / name, told)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_server()
    assert (found == installed) == used
    assert found.is_file()


async def test_a_folder_keeps_its_kind_of_server(tmp_path, monkeypatch):
    first = Embedded(Settings(cache=tmp_path))
    first.start_server()
    await first.stop()
    folder = tmp_path / "bin"
    folder.mkdir()
    script(folder / "valkey-server", "echo 'Valkey server v=99.0.0'")  # answers, and serves nothing
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    assert find_server() == folder / "valkey-server"
    second = Embedded(Settings(cache=tmp_path))
    with connect(second.start_server()) as client:
        assert client.ping()
    await second.stop()
