"""Signals to the real service, in every phase of its life. The last tests end the shared one."""

import json
import os
import re
import signal
import tempfile
import time
from pathlib import Path

import httpx2 as httpx
import pytest

from service.process import descendants
from tests.e2e.conftest import BEARER, KEYS
from tests.e2e.running import ASTRONAUT, HeldUpload, Service, patience, start_s

HELD = 4
PROMPTLY_S = 15  # for two idle cores; what waits for anything takes longer, or for ever


@pytest.fixture
def temporary(monkeypatch):
    """The temporary folder of a service, in which nobody else leaves anything."""
    with tempfile.TemporaryDirectory() as folder:  # a short path, as sockets need
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def assert_gone(pids, temporary):
    end = time.monotonic() + patience(10)
    while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not list(temporary.glob("wplus-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_imported_ends_at_once(cache, number):
    with Service(cache) as service:
        service.wait_for(lambda: "starting" in service.log)
        assert service.stop(number) == 0
        assert service.log.rstrip().endswith("service: stopped")
        assert "Traceback" not in service.log


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are found in /proc")
def test_one_signal_while_loading_ends_with_all_that_was_started(cache, tmp_path, temporary):
    (tmp_path / "weights").symlink_to(cache / "weights")
    with Service(tmp_path, backend="eager") as service:
        service.wait_for(lambda: "loading weights" in service.log)
        pids = descendants(service.process.pid)
        assert pids
        assert service.stop(signal.SIGINT) == 0
        assert "Traceback" not in service.log
        assert_gone(pids, temporary)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are found in /proc")
@pytest.mark.parametrize("phase", ["loading weights", "warming up"])
def test_a_second_signal_ends_the_process_immediately(cache, tmp_path, temporary, phase):
    (tmp_path / "weights").symlink_to(cache / "weights")
    with Service(tmp_path, backend="eager") as service:
        service.wait_for(lambda: phase in service.log)
        pids = descendants(service.process.pid)
        assert len(list(temporary.glob("wplus-*"))) == 1
        # A Valkey that hangs holds the stop up: the second signal comes while that waits.
        (valkey,) = [pid for pid in pids if "valkey" in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(valkey, signal.SIGSTOP)
        service.process.send_signal(signal.SIGTERM)
        service.wait_for(lambda: "Waiting for application shutdown" in service.log)
        time.sleep(0.5)
        told = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert service.ended() == 128 + signal.SIGTERM
        assert time.monotonic() - told < patience(PROMPTLY_S)
        assert service.log.rstrip().endswith("service: stopped")
        assert "Traceback" not in service.log
        assert_gone(pids, temporary)


def test_a_signal_finishes_running_requests_and_refuses_new_ones(service, client):
    """Last but one: it ends the service that the others use."""
    pids = descendants(service.process.pid)
    headers = BEARER | {"Content-Type": "image/jpeg", "Accept": "application/x-npy"}
    held = [HeldUpload(service.url, "/embed", ASTRONAUT, **headers) for _ in range(HELD)]
    inside = f'wplus_inflight{{op="embed"}} {HELD}.0'
    service.wait_for(lambda: inside in httpx.get(service.metrics_url, timeout=60).text)
    service.process.send_signal(signal.SIGTERM)
    service.wait_for(lambda: client.get("/readyz").status_code == 503)
    refusal = client.get("/readyz").json()
    late = client.post("/embed", files={"image": ASTRONAUT})
    for upload in held:
        status, body = upload.finish()
        assert (status, body[:6]) == (200, b"\x93NUMPY")
    assert service.ended(start_s()) == 0
    assert refusal["code"] == "draining"
    assert (late.status_code, late.json()["code"]) == (503, "draining")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{service.url}/livez")
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in pids)


def test_the_log_is_json_and_holds_no_secret(service):
    """Comes last: it reads the log of a service that has ended."""
    service.stop()
    # torch's own warnings, in the worker's start, are not ours to shape.
    records = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    assert not [record for record in records if record["level"] == "error"]
    assert {"service", "uvicorn.access"} <= {record["logger"] for record in records}
    assert records[-1]["message"] == "stopped"
    asked = [record for record in records if record["logger"] == "uvicorn.access"]
    assert all(re.fullmatch("[0-9a-f]{16}", record["request_id"]) for record in asked)
    for secret in KEYS.values():
        assert secret not in service.log
