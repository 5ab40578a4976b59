"""The script: what every change of a job does, and refuses to do."""

import asyncio
import dataclasses
import time

import pytest

from service.errors import IdempotencyError, JobQueueFullError, UnknownJobError
from service.jobs.lease import CRASH_CAP, Leases
from service.redis_keys import FILM, GROUP, STREAM, job_key
from tests.service.jobs.conftest import submission

pytestmark = pytest.mark.anyio
LEASE_S = 0.1


@pytest.fixture
def store(make_store):
    return make_store()


@pytest.fixture
def leases(valkey):
    """Open workers' sides of the queue."""
    return lambda: Leases(valkey.connect(), LEASE_S)


async def submit(store, **options):
    job_id, is_new = await store.submit(submission(**options))
    assert is_new
    return job_id


async def state_of(store, job_id, owner="me"):
    return (await store.get(job_id, owner))["state"]


def lag(valkey):
    return valkey.client.xinfo_groups(STREAM)[0]["lag"]


def terminal_events(valkey, job_id):
    events = valkey.client.xrange(f"{job_key(job_id)}:ev")
    states = [fields[b"state"].decode() for _, fields in events]
    return [state for state in states if state in ("succeeded", "failed", "cancelled")]


async def test_a_job_goes_from_the_queue_to_its_end(store, leases, valkey):
    job_id, worker = await submit(store, steps=7), leases()
    assert await store.position(job_id) == 0
    claim = worker.take().claim
    assert (claim.job_id, claim.fields["steps"], await state_of(store, job_id)) == (
        job_id,
        "7",
        "running",
    )
    assert await store.position(job_id) is None
    assert worker.read_input(claim) == submission().input.pack()
    assert worker.beat(claim, {"step": 3, "loss": 0.5}, b"checkpoint") == "go"
    assert (await store.get(job_id, "me"))["loss"] == "0.5"
    assert worker.read_state(claim) == b"checkpoint"
    assert worker.finish(claim, "succeeded", b"result", {"step": 7})
    assert await state_of(store, job_id) == "succeeded"
    assert valkey.client.get(f"{job_key(job_id)}:out") == b"result"
    assert (lag(valkey), valkey.client.xlen(STREAM)) == (0, 0)
    assert terminal_events(valkey, job_id) == ["succeeded"]


async def test_ended_jobs_expire_and_their_photos_are_deleted(store, leases, valkey):
    job_id, worker = await submit(store, key="k"), leases()
    claim = worker.take().claim
    worker.beat(claim, {}, b"checkpoint")
    worker.finish(claim, "succeeded", b"result", {})
    names = {name.decode() for name in valkey.client.keys("*job:*")}
    key = job_key(job_id)
    assert names == {key, f"{key}:out", f"{key}:ev"}
    assert all(0 < valkey.client.ttl(name) <= 60 for name in (*names, "{wplus}:idem:me:k"))


async def test_the_queue_has_a_limit(make_store):
    store = make_store(max_queued=2)
    first = await submit(store)
    await submit(store)
    with pytest.raises(JobQueueFullError, match="queue is full: 2 jobs are waiting"):
        await submit(store)
    await store.cancel(first, "me")
    await submit(store)


async def test_an_idempotency_key_identifies_one_request_of_one_owner(store):
    job_id = await submit(store, key="k", fingerprint="a")
    assert await store.submit(submission(key="k", fingerprint="a")) == (job_id, False)
    assert await store.find("me", "k", "a") == job_id
    assert await store.find("you", "k", "a") is None
    for call in (
        store.find("me", "k", "b"),
        store.submit(submission(key="k", fingerprint="b")),
    ):
        with pytest.raises(IdempotencyError):
            await call
    other = await submit(store, key="k", fingerprint="b", owner="you")
    assert other != job_id


async def test_a_job_exists_for_its_owner_only(store):
    job_id = await submit(store)
    for call in (store.get(job_id, "you"), store.cancel(job_id, "you"), store.get("x:ev", "me")):
        with pytest.raises(UnknownJobError):
            await call
    assert await store.list_of("you", 10) == []
    assert await state_of(store, job_id) == "queued"


async def test_jobs_are_listed_newest_first_and_only_while_kept(store, valkey):
    ids = [await submit(store) for _ in range(3)]
    assert [job["id"] for job in await store.list_of("me", 2)] == [ids[2], ids[1]]
    valkey.client.delete(job_key(ids[2]))
    assert [job["id"] for job in await store.list_of("me", 3)] == [ids[1], ids[0]]
    assert valkey.client.zcard("{wplus}:owner:me") == 2


async def test_a_waiting_job_is_cancelled_at_once_and_the_lag_is_kept(store, leases, valkey):
    first, second, third = [await submit(store) for _ in range(3)]
    await store.cancel(second, "me")
    assert await state_of(store, second) == "cancelled"
    assert lag(valkey) == 3
    worker = leases()
    claims = [worker.take().claim for _ in range(3)]
    assert [claim and claim.job_id for claim in claims] == [first, None, third]
    assert lag(valkey) == 0
    assert terminal_events(valkey, second) == ["cancelled"]


async def test_a_running_job_can_be_cancelled(store, leases, valkey):
    job_id, worker = await submit(store), leases()
    claim = worker.take().claim
    await store.cancel(job_id, "me")
    await store.cancel(job_id, "me")
    assert await state_of(store, job_id) == "cancelling"
    assert worker.beat(claim, {"step": 2}) == "cancel"
    assert worker.finish(claim, "cancelled", b"best", {})
    await store.cancel(job_id, "me")
    assert await state_of(store, job_id) == "cancelled"
    assert terminal_events(valkey, job_id) == ["cancelled"]


async def test_a_cancelled_job_of_a_dead_worker_ends_with_its_checkpoint(store, leases, valkey):
    job_id, worker = await submit(store), leases()
    worker.beat(worker.take().claim, {}, b"checkpoint")
    await store.cancel(job_id, "me")
    time.sleep(2 * LEASE_S)
    assert leases().take().claim is None
    assert await state_of(store, job_id) == "cancelled"
    assert valkey.client.get(f"{job_key(job_id)}:out") == b"checkpoint"


async def test_a_silent_worker_loses_its_job_and_its_writes_are_refused(store, leases, valkey):
    job_id, stale, fresh = await submit(store), leases(), leases()
    old = stale.take().claim
    time.sleep(2 * LEASE_S)
    take = fresh.take()
    assert take.redelivered
    assert take.claim.fence > old.fence
    before = valkey.client.hgetall(job_key(job_id))
    assert stale.beat(old, {"step": 99}, b"stale") == "fenced"
    assert not stale.finish(old, "succeeded", b"stale", {"step": 99})
    assert not stale.release(old, {"step": 99}, b"stale")
    assert valkey.client.hgetall(job_key(job_id)) == before
    assert fresh.read_state(take.claim) is None
    assert fresh.finish(take.claim, "succeeded", b"result", {})
    assert terminal_events(valkey, job_id) == ["succeeded"]
    assert not stale.finish(old, "failed", b"", {})


async def test_a_heartbeat_keeps_the_job(store, leases):
    await submit(store)
    holder, other = leases(), leases()
    claim = holder.take().claim
    end = time.monotonic() + 4 * LEASE_S
    while time.monotonic() < end:
        assert holder.beat(claim, {}) == "go"
        time.sleep(LEASE_S / 4)
    assert holder.beat(claim, {}) == "go"
    assert other.take().claim is None


async def test_hand_backs_are_taken_at_once_and_never_count_as_crashes(store, valkey):
    job_id = await submit(store)
    for count in range(6):
        worker = Leases(valkey.connect(), lease_s=30)
        claim = worker.take().claim
        assert worker.release(claim, {"step": count}, b"checkpoint")
        assert await state_of(store, job_id) == "queued"
        assert await store.position(job_id) == 0
        assert worker.beat(claim, {}) == "fenced"
    (entry,) = valkey.client.xpending_range(STREAM, GROUP, "-", "+", 10)
    assert entry["times_delivered"] == 0
    assert Leases(valkey.connect(), lease_s=30).take().claim.fields["attempts"] == "7"


async def test_an_abandoned_job_is_found_behind_many_films(store, leases):
    film = {"input": None, "kind": FILM}
    store._max_queued[FILM] = 200
    for _ in range(120):
        await store.submit(dataclasses.replace(submission(), **film))
    lost, crashed, other = await submit(store), leases(), leases()
    while (claim := crashed.take().claim) is None:
        pass
    assert claim.job_id == lost
    time.sleep(LEASE_S)
    assert other.take().claim.job_id == lost


async def test_a_job_that_crashes_workers_fails_and_the_next_one_runs(store, leases, valkey):
    job_id = await submit(store)
    for _ in range(CRASH_CAP):
        leases().take()
        time.sleep(2 * LEASE_S)
    good = await submit(store)
    last = leases()
    take = last.take()
    assert (take.failed, take.claim.job_id) == (1, good)
    job = await store.get(job_id, "me")
    assert (job["state"], job["error_type"]) == ("failed", "crash-loop")
    assert terminal_events(valkey, job_id) == ["failed"]
    assert lag(valkey) == 0
    workers = [row["name"].decode() for row in valkey.client.xinfo_consumers(STREAM, GROUP)]
    assert workers == [last.worker]


async def crash(leases, job_id, *progress):
    """Take a job, write progress, and fall silent; return the number of jobs given up."""
    worker = leases()
    take = worker.take()
    if take.claim is not None:
        assert take.claim.job_id == job_id
        for saved in progress:
            assert worker.beat(take.claim, {"saved": saved}) == "go"
    await asyncio.sleep(2 * LEASE_S)
    return take.failed


async def test_crashes_with_progress_in_between_are_no_crash_loop(store, leases):
    job_id = await submit(store)
    for saved in (1, 2, 3, 4):
        assert await crash(leases, job_id, saved) == 0
    assert await state_of(store, job_id) == "running"
    for saved in (4, 0):  # what had been saved before is no progress
        assert await crash(leases, job_id, saved) == 0
    assert await crash(leases, job_id) == 1
    job = await store.get(job_id, "me")
    assert (job["state"], job["error_type"], job["attempts"]) == ("failed", "crash-loop", "6")
    assert job["error"] == "The job crashed 3 workers in a row without getting further."


async def test_hand_backs_with_progress_forget_earlier_crashes(store, leases, valkey):
    def hand_back(saved):
        worker = leases()
        claim = worker.take().claim
        assert worker.release(claim, {"saved": saved}, b"checkpoint")
        (entry,) = valkey.client.xpending_range(STREAM, GROUP, "-", "+", 10)
        return entry["times_delivered"]

    job_id = await submit(store)
    for _ in range(CRASH_CAP - 1):
        assert await crash(leases, job_id) == 0
    assert hand_back(0) == CRASH_CAP - 1
    assert hand_back(4) == 0
    assert hand_back(4) == 0
    assert await crash(leases, job_id) == 0
    assert hand_back(3) == 1


async def test_metrics_describe_the_queue(store, leases):
    assert (await store.figures()).queued == 0
    await submit(store)
    await submit(store)
    leases().take()
    figures = await store.figures()
    assert (figures.queued, figures.pending) == (1, 1)
    assert 0 <= figures.oldest_queued_age_s < 10


async def test_a_leaving_worker_removes_its_consumer(store, leases, valkey):
    await submit(store)
    idle, holder = leases(), leases()
    holder.take()
    idle.take()
    for worker in (idle, holder):
        worker.leave()
    (left,) = valkey.client.xinfo_consumers(STREAM, GROUP)
    assert left["name"].decode() == holder.worker
