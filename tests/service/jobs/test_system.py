"""Stopping what jobs need, at any moment and whatever ignores it."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from service.jobs import system
from service.jobs.device_flag import show_busy
from service.jobs.embedded import Embedded
from service.jobs.system import JobSystem
from service.observability.metrics import Telemetry
from service.redis_keys import connect_async
from service.serving.gate import Gate
from service.settings import Settings

pytestmark = pytest.mark.anyio


def job_system(tmp_path):
    settings = Settings(cache=tmp_path)
    gate = Gate(1, lambda: None)
    return JobSystem(settings, Telemetry(), gate, None, Embedded(settings))


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
async def test_it_stops_during_any_of_its_first_calls(tmp_path, turns):
    """Redis's client swallows a cancellation that comes while it connects."""
    jobs, others = job_system(tmp_path), asyncio.all_tasks()
    await jobs.start()
    for _ in range(turns):
        await asyncio.sleep(0)
    tasks = asyncio.all_tasks() - others
    assert tasks
    await asyncio.wait_for(jobs.stop(), 60)
    assert all(task.done() for task in tasks)


async def test_a_task_that_ignores_cancellation_does_not_delay_the_stop(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(system, "STOP_S", 0.2)
    over = asyncio.Event()

    async def deaf():
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()

    monkeypatch.setattr(system, "show_busy", lambda *_: deaf())
    jobs = job_system(tmp_path)
    await jobs.start()
    await asyncio.sleep(0)
    private = Path((tmp_path / "jobs" / "socket").read_text())
    assert private.is_dir()
    await asyncio.wait_for(jobs.stop(), 60)
    assert "ignores its cancellation" in caplog.text
    assert not private.exists()
    over.set()


async def test_loops_leave_though_their_cancellation_is_swallowed(valkey):
    """A Redis that answers only after the cancellation, through a client that swallows it."""

    class Deaf:
        """Finish each command regardless, as redis-py does in some of its states."""

        def __init__(self, client):
            self._client = client

        async def set(self, *args, **options):
            call = asyncio.ensure_future(self._client.set(*args, **options))
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(asyncio.sleep(0.3))
            await call

    client = connect_async(valkey.url)
    showing = asyncio.ensure_future(show_busy(Deaf(client), "device", lambda: True))
    await asyncio.sleep(0.1)
    showing.cancel()
    done, _ = await asyncio.wait({showing}, timeout=10)
    assert done
    await client.aclose()
