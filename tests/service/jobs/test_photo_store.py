"""Which photos of jobs are kept, and which are deleted when."""

import pytest

from service.errors import IdempotencyError, JobQueueFullError, JobsUnavailableError
from service.jobs.lease import Leases
from service.redis_keys import job_key
from tests.service.jobs.conftest import submission

pytestmark = pytest.mark.anyio


def photos(valkey):
    """The kept photos, by job."""
    names = [name.decode() for name in valkey.client.keys("*:photo")]
    return {name.split(":")[2]: valkey.client.get(name) for name in names}


async def submit(store, photo, **options):
    job_id, _ = await store.submit(submission(photo=photo, **options))
    return job_id


async def test_the_last_photos_of_each_owner_are_kept(make_store, valkey):
    store = make_store(max_photos=2)
    mine = [await submit(store, b"%d" % i) for i in range(2)]
    yours = [await submit(store, b"you %d" % i, owner="you") for i in range(3)]
    assert photos(valkey) == {
        mine[0]: b"0",
        mine[1]: b"1",
        yours[1]: b"you 1",
        yours[2]: b"you 2",
    }
    assert valkey.client.ttl(f"{job_key(mine[0])}:photo") == -1  # as long as the job


async def test_an_expired_photo_takes_no_place(make_store, valkey):
    store = make_store(max_photos=2)
    first, second = [await submit(store, b"x") for _ in range(2)]
    valkey.client.delete(f"{job_key(second)}:photo")
    third = await submit(store, b"x")
    assert photos(valkey).keys() == {first, third}


async def test_a_repeated_or_refused_job_leaves_no_photo(make_store, valkey):
    store = make_store(max_queued=1)
    job_id = await submit(store, b"first", key="k", fingerprint="a")
    again = submission(photo=b"again", key="k", fingerprint="a")
    assert await store.submit(again) == (job_id, False)
    for error, options in (
        (IdempotencyError, {"key": "k", "fingerprint": "b"}),
        (JobQueueFullError, {}),
    ):
        with pytest.raises(error):
            await submit(store, b"refused", **options)
    assert photos(valkey) == {job_id: b"first"}


async def test_no_job_is_queued_whose_photo_cannot_be_stored(make_store, valkey):
    store = make_store()
    valkey.client.config_set("proto-max-bulk-len", 2**20)
    with pytest.raises(JobsUnavailableError):
        await submit(store, bytes(2**21), key="k")
    assert await store.list_of("me", 10) == []
    assert await store.find("me", "k", "") is None
    job_id = await submit(store, b"smaller", key="k")
    assert photos(valkey) == {job_id: b"smaller"}


async def test_a_photo_whose_job_was_not_queued_expires(make_store, valkey):
    store = make_store()
    valkey.client.set("{wplus}:jobs", "no stream")  # the script fails
    with pytest.raises(JobsUnavailableError):
        await submit(store, b"photo")
    (name,) = valkey.client.keys("*:photo")
    assert 0 < valkey.client.ttl(name) <= 300


async def test_a_job_that_ends_without_a_result_keeps_no_photo(make_store, valkey):
    store, worker = make_store(), Leases(valkey.connect(), 0.1)
    cancelled = await submit(store, b"x")
    await store.cancel(cancelled, "me")
    assert photos(valkey) == {}
    assert worker.take().claim is None
    failed = await submit(store, b"x")
    worker.finish(worker.take().claim, "failed", b"", {})
    assert photos(valkey) == {}
    with_result = await submit(store, b"x")
    claim = worker.take().claim
    worker.beat(claim, {}, b"state")
    worker.finish(claim, "cancelled", b"", {})
    assert photos(valkey) == {with_result: b"x"}
    assert 0 < valkey.client.ttl(f"{job_key(with_result)}:photo") <= 60
    await store.cancel(with_result, "me")
    assert photos(valkey) == {}
    assert (await store.get(failed, "me"))["state"] == "failed"
    assert valkey.client.keys("{wplus}:photos:*") == []
