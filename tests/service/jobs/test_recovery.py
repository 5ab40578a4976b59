"""Real workers that are killed, hung, stopped and cut off while they refine."""

import asyncio
import signal
import sys
import time

import numpy as np
import pytest
import torch

from service.jobs.payloads import Outcome
from service.jobs.supervisor import Child
from service.redis_keys import job_key
from tests.model_core.tiny import DETAIL_FINGERPRINT, tiny_refiner
from tests.service.jobs.conftest import ROOT, poisoned, submission, wait_for

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def job(valkey, job_id):
    raw = valkey.client.hgetall(job_key(job_id))
    return {name.decode(): value.decode() for name, value in raw.items()}


def events(valkey, job_id):
    rows = valkey.client.xrange(f"{job_key(job_id)}:ev")
    return [{name.decode(): value.decode() for name, value in row.items()} for _, row in rows]


def has_checkpoint(valkey, job_id, past_step):
    steps = int(job(valkey, job_id).get("step", 0))
    return steps > past_step and valkey.client.exists(f"{job_key(job_id)}:ckpt")


def outcome(valkey, job_id):
    return Outcome.unpack(valkey.client.get(f"{job_key(job_id)}:out"))


def uninterrupted(steps):
    given = submission(steps).input
    refiner = tiny_refiner()
    state = refiner.start(given.ws)
    refiner.run(state, given.target, steps)
    return state.codes


def assert_ended_once(valkey, job_id, state="succeeded"):
    found = [event["state"] for event in events(valkey, job_id)]
    assert [s for s in found if s in ("succeeded", "failed", "cancelled")] == [state]
    assert found[-1] == state


def assert_same_as_uninterrupted(valkey, job_id, steps):
    found, whole = outcome(valkey, job_id), uninterrupted(steps)
    assert found.curve[:, 0].tolist() == list(range(steps + 1))
    assert torch.allclose(found.ws, whole.best_ws[0], atol=1e-4)
    assert abs(found.curve[:, 1].min() - whole.best_loss.item()) < 1e-4


async def test_a_job_outlives_two_of_its_workers(make_store, valkey, start_worker):
    store, steps = make_store(), 150
    job_id, _ = await store.submit(submission(steps))
    for _ in range(2):
        before = int(job(valkey, job_id)["step"])
        worker = start_worker()
        wait_for(lambda before=before: has_checkpoint(valkey, job_id, before + 20))
        worker.end(signal.SIGKILL)
    last = start_worker()
    wait_for(lambda: job(valkey, job_id)["state"] == "succeeded")
    assert int(last.log.partition("resuming at step ")[2].split()[0]) > 20
    assert job(valkey, job_id)["attempts"] == "3"
    assert_ended_once(valkey, job_id)
    assert_same_as_uninterrupted(valkey, job_id, steps)


async def test_a_job_with_detail_outlives_a_worker_killed_in_either_phase(
    make_store, valkey, start_worker, monkeypatch
):
    monkeypatch.setenv("TINY_DETAIL", "1")
    store, steps = make_store(), 100
    job_id, _ = await store.submit(submission(steps))
    for phase, past_step in (("code", 3), ("detail", 35)):
        worker = start_worker(job_beat_s=0.02, job_save_s=0.02)
        wait_for(lambda past_step=past_step: has_checkpoint(valkey, job_id, past_step))
        worker.end(signal.SIGKILL)
        assert job(valkey, job_id)["phase"] == phase
    last = start_worker()
    wait_for(lambda: job(valkey, job_id)["state"] == "succeeded")
    assert int(last.log.partition("resuming at step ")[2].split()[0]) > 20
    assert_ended_once(valkey, job_id)
    given, refiner = submission(steps).input, tiny_refiner(detail=True)
    whole = refiner.start(given.ws)
    refiner.run(whole, given.target, steps, detail=True)
    found = outcome(valkey, job_id)
    assert found.curve[:, 0].tolist() == list(range(steps + 1))
    # Not bit for bit: the worker may sum on another number of threads.
    assert torch.allclose(found.ws, whole.codes.best_ws[0], atol=1e-4)
    detail = refiner.detail_of(whole, given.target)
    assert (found.detail.float() - detail.float()).abs().max() < 0.02 * detail.float().abs().max()
    assert found.detail_fingerprint == DETAIL_FINGERPRINT


async def test_a_hung_worker_finds_its_job_taken(make_store, valkey, start_worker):
    store, steps = make_store(), 100
    job_id, _ = await store.submit(submission(steps))
    hung = start_worker()
    wait_for(lambda: has_checkpoint(valkey, job_id, 5))
    hung.process.send_signal(signal.SIGSTOP)
    start_worker()
    wait_for(lambda: job(valkey, job_id)["attempts"] == "2")
    hung.process.send_signal(signal.SIGCONT)
    wait_for(lambda: "another worker has the job" in hung.log)
    wait_for(lambda: job(valkey, job_id)["state"] == "succeeded")
    assert hung.process.poll() is None
    assert_ended_once(valkey, job_id)
    assert_same_as_uninterrupted(valkey, job_id, steps)


async def test_a_stopping_worker_hands_its_job_to_another(make_store, valkey, start_worker):
    store, steps = make_store(), 80
    job_id, _ = await store.submit(submission(steps))
    first = start_worker(job_lease_s=3600)
    wait_for(lambda: int(job(valkey, job_id)["step"]) > 10)
    assert first.end(signal.SIGTERM) == 0
    step = int(job(valkey, job_id)["step"])
    assert job(valkey, job_id)["state"] == "queued"
    assert f"handed back at step {step}" in first.log
    second = start_worker(job_lease_s=3600)
    wait_for(lambda: job(valkey, job_id)["state"] == "succeeded")
    assert f"resuming at step {step}" in second.log
    assert_ended_once(valkey, job_id)
    assert_same_as_uninterrupted(valkey, job_id, steps)


async def test_a_second_signal_ends_a_worker_during_a_step(make_store, valkey, start_worker):
    job_id, _ = await make_store().submit(submission(5))
    worker = start_worker(step_s=600)
    wait_for(lambda: job(valkey, job_id)["state"] == "running")
    worker.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert worker.process.poll() is None
    assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM


async def test_a_poisoned_job_fails_and_the_queue_moves_on(make_store, valkey, tmp_path):
    store = make_store()
    bad, _ = await store.submit(poisoned())
    good, _ = await store.submit(submission(10))
    variables = {
        "WPLUS_REDIS_URL": valkey.url,
        "WPLUS_JOB_LEASE_S": "0.5",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    child = Child("worker", [sys.executable, "-m", "tests.service.jobs.tiny"], variables)
    child.start()
    keeper = asyncio.ensure_future(child.keep())
    try:
        end = time.monotonic() + 900
        while job(valkey, good)["state"] != "succeeded":
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
    finally:
        keeper.cancel()
        await child.stop(10)
    failed = job(valkey, bad)
    assert (failed["state"], failed["error_type"], failed["attempts"]) == (
        "failed",
        "crash-loop",
        "3",
    )
    assert_ended_once(valkey, bad, "failed")
    assert_ended_once(valkey, good)


async def test_nothing_is_lost_if_valkey_is_killed_mid_job(make_store, valkey, start_worker):
    store, steps = make_store(), 150
    job_id, _ = await store.submit(submission(steps))
    waiting, _ = await store.submit(submission(5))
    worker = start_worker(job_lease_s=20)
    wait_for(lambda: has_checkpoint(valkey, job_id, 20))
    valkey.kill()
    time.sleep(0.5)
    valkey.start()
    for each in (job_id, waiting):
        wait_for(lambda each=each: job(valkey, each)["state"] == "succeeded")
        assert job(valkey, each)["attempts"] == "1"
        assert_ended_once(valkey, each)
    assert "Redis does not answer" in worker.log
    assert_same_as_uninterrupted(valkey, job_id, steps)


async def test_a_cancelled_job_stops_between_steps_and_keeps_its_best(
    make_store, valkey, start_worker
):
    store = make_store()
    job_id, _ = await store.submit(submission(5000))
    start_worker()
    wait_for(lambda: int(job(valkey, job_id)["step"]) > 5)
    await store.cancel(job_id, "me")
    wait_for(lambda: job(valkey, job_id)["state"] == "cancelled", 10)
    found = outcome(valkey, job_id)
    assert 5 < len(found.curve) < 1000
    assert np.isfinite(found.curve).all()
    assert_ended_once(valkey, job_id, "cancelled")
