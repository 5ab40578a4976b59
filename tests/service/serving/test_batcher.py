"""The batcher's eight promises."""

import asyncio
import weakref

import pytest

from service.errors import (
    BatchContractError,
    BatcherClosedError,
    DeadlineExceededError,
    QueueFullError,
)
from service.serving.batcher import Batcher

pytestmark = pytest.mark.anyio


class Device:
    """A run that waits to be let go, and remembers the batches it was given."""

    def __init__(self):
        self.batches = []
        self.go = asyncio.Event()
        self.go.set()
        self.started = asyncio.Event()

    async def run(self, items):
        self.batches.append(list(items))
        self.started.set()
        await self.go.wait()
        return [item * 10 for item in items]


def make(run, *, max_batch=4, max_queue=8, **options):
    batcher = Batcher(run, name="test", max_batch=max_batch, max_queue=max_queue, **options)
    batcher.start()
    return batcher


async def hold(batcher, device):
    """Occupy the device with item 0; what is submitted next has to queue."""
    device.go.clear()
    first = asyncio.ensure_future(batcher.submit(0))
    await device.started.wait()
    return first


async def queue(batcher, *items, deadline_s=None):
    tasks = [asyncio.ensure_future(batcher.submit(item, deadline_s)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_a_single_item_runs_immediately_and_reports_its_time():
    device = Device()
    batcher = make(device.run)
    answer = await batcher.submit(3)
    assert (answer.value, answer.batch_size) == (30, 1)
    assert answer.queued_s >= 0
    assert answer.ran_s >= 0
    await batcher.close()


async def test_entries_queued_during_a_run_form_the_next_batch():
    device, sizes = Device(), []
    batcher = make(device.run, on_batch=sizes.append)
    first = await hold(batcher, device)
    rest = await queue(batcher, 1, 2, 3, 4, 5)
    assert batcher.depth == 5
    device.go.set()
    values = [answer.value for answer in await asyncio.gather(first, *rest)]
    assert values == [0, 10, 20, 30, 40, 50]
    assert device.batches == [[0], [1, 2, 3, 4], [5]]
    assert sizes == [1, 4, 1]
    await batcher.close()


async def test_a_full_queue_refuses_at_once():
    device = Device()
    batcher = make(device.run, max_queue=2)
    first = await hold(batcher, device)
    rest = await queue(batcher, 1, 2)
    with pytest.raises(QueueFullError, match="is full: 2 wait"):
        await batcher.submit(3)
    device.go.set()
    await asyncio.gather(first, *rest)
    assert (await batcher.submit(3)).value == 30
    await batcher.close()


async def test_a_departed_caller_frees_its_slot_and_is_not_run():
    device, drops = Device(), []
    batcher = make(device.run, max_queue=2, on_drop=drops.append)
    first = await hold(batcher, device)
    leaver, stayer = await queue(batcher, 1, 2)
    leaver.cancel()
    await asyncio.wait({leaver})
    (late,) = await queue(batcher, 3)
    device.go.set()
    await asyncio.gather(first, stayer, late)
    assert device.batches == [[0], [2, 3]]
    assert drops == ["cancelled"]
    await batcher.close()


async def test_an_expired_entry_never_reaches_the_run():
    device, drops = Device(), []
    batcher = make(device.run, on_drop=drops.append)
    first = await hold(batcher, device)
    soon = asyncio.get_running_loop().time() + 0.01
    late, stayer = (await queue(batcher, 1, deadline_s=soon)) + (await queue(batcher, 2))
    with pytest.raises(DeadlineExceededError):
        await late
    device.go.set()
    await asyncio.gather(first, stayer)
    assert device.batches == [[0], [2]]
    assert drops == ["expired"]
    await batcher.close()


async def test_a_deadline_in_the_past_is_dropped_by_the_loop_itself():
    device, drops = Device(), []
    batcher = make(device.run, on_drop=drops.append)
    first = await hold(batcher, device)
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(batcher.submit(1, loop.time() - 1))
    device.go.set()
    with pytest.raises(DeadlineExceededError):
        await task
    await first
    assert device.batches == [[0]]
    assert drops == ["expired"]
    await batcher.close()


async def test_a_deadline_ends_the_wait_for_a_run_under_way():
    device = Device()
    batcher = make(device.run)
    device.go.clear()
    with pytest.raises(DeadlineExceededError, match="did not answer in time"):
        await batcher.submit(1, asyncio.get_running_loop().time() + 0.02)
    device.go.set()
    assert (await batcher.submit(2)).value == 20
    await batcher.close()


async def test_a_failure_fails_its_batch_only():
    device = Device()

    async def run(items):
        outputs = await device.run(items)
        if 2 in items:
            raise RuntimeError("poisoned")
        return outputs

    batcher = make(run, max_batch=2)
    first = await hold(batcher, device)
    rest = await queue(batcher, 1, 2, 3, 4)
    device.go.set()
    outcomes = await asyncio.gather(first, *rest, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Answer",
        "RuntimeError",
        "RuntimeError",
        "Answer",
        "Answer",
    ]
    await batcher.close()


async def test_a_runs_own_timeout_is_not_taken_for_a_deadline():
    async def run(_items):
        raise TimeoutError("the device's own")

    batcher = make(run)
    with pytest.raises(TimeoutError, match="own"):
        await batcher.submit(1, asyncio.get_running_loop().time() + 60)
    await batcher.close()


async def test_a_batch_without_memory_is_run_again_singly():
    device = Device()

    async def run(items):
        outputs = await device.run(items)
        if len(items) > 1 or 3 in items:
            raise MemoryError
        return outputs

    told = []
    batcher = make(run, on_memory_error=lambda: told.append(1))
    first = await hold(batcher, device)
    rest = await queue(batcher, 1, 2, 3)
    device.go.set()
    outcomes = await asyncio.gather(first, *rest, return_exceptions=True)
    assert len(told) == 2
    assert [getattr(outcome, "value", "out of memory") for outcome in outcomes] == [
        0,
        10,
        20,
        "out of memory",
    ]
    assert isinstance(outcomes[3], MemoryError)
    assert device.batches == [[0], [1, 2, 3], [1], [2], [3]]
    await batcher.close()


async def test_memory_of_a_failed_run_is_freed_before_the_retry():
    class Tensor:
        pass

    device, held = Device(), []

    async def run(items):
        outputs = await device.run(items)
        if len(items) > 1:
            large = Tensor()
            held.append(weakref.ref(large))
            raise MemoryError
        assert not any(tensor() for tensor in held)
        return outputs

    batcher = make(run)
    first = await hold(batcher, device)
    rest = await queue(batcher, 1, 2)
    device.go.set()
    assert [answer.value for answer in await asyncio.gather(first, *rest)] == [0, 10, 20]
    assert len(held) == 1
    await batcher.close()


async def test_a_run_must_answer_every_input():
    async def run(items):
        return items[1:]

    batcher = make(run)
    with pytest.raises(BatchContractError, match="number 1, got 0"):
        await batcher.submit(1)
    await batcher.close()


async def test_a_dead_loop_reports_it_and_fails_waiting_entries(caplog):
    device = Device()

    def broken(_size):
        raise ZeroDivisionError

    batcher = make(device.run, max_batch=1, on_batch=broken)
    tasks = await queue(batcher, 1, 2)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, BatcherClosedError) for outcome in outcomes)
    assert not batcher.alive
    (record,) = (record for record in caplog.records if record.levelname == "CRITICAL")
    assert record.exc_info[0] is ZeroDivisionError
    with pytest.raises(BatcherClosedError):
        await batcher.submit(3)
    await batcher.close()


async def test_close_drains_the_queue():
    device = Device()
    batcher = make(device.run, max_batch=1)
    first = await hold(batcher, device)
    rest = await queue(batcher, 1, 2)
    closing = asyncio.ensure_future(batcher.close(drain_s=5))
    await asyncio.sleep(0)
    with pytest.raises(BatcherClosedError):
        await batcher.submit(3)
    device.go.set()
    await closing
    assert [answer.value for answer in await asyncio.gather(first, *rest)] == [0, 10, 20]
    assert not batcher.alive


async def test_close_fails_unfinished_entries_after_its_timeout():
    device = Device()
    batcher = make(device.run, max_batch=1)
    tasks = [await hold(batcher, device), *(await queue(batcher, 1))]
    await batcher.close(drain_s=0.02)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, BatcherClosedError) for outcome in outcomes)


async def test_a_batch_is_taken_when_the_device_is_free_and_not_before():
    device, turn = Device(), asyncio.Lock()
    first, second = (make(device.run, turn=turn) for _ in range(2))
    running = await hold(first, device)
    leaver, stayer = await queue(second, 1, 2)
    await asyncio.sleep(0.01)
    leaver.cancel()
    await asyncio.wait({leaver})
    (late,) = await queue(second, 3)
    device.go.set()
    await asyncio.gather(running, stayer, late)
    assert device.batches == [[0], [2, 3]]
    closing = asyncio.gather(first.close(drain_s=1), second.close(drain_s=1))
    await asyncio.wait_for(closing, 0.5)


async def test_it_refuses_before_it_has_started():
    batcher = Batcher(Device().run, name="test", max_batch=1, max_queue=1)
    with pytest.raises(BatcherClosedError):
        await batcher.submit(1)
    await batcher.close()


@pytest.mark.parametrize("limits", [{"max_batch": 0}, {"max_queue": 0}])
async def test_limits_below_one_are_refused(limits):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        make(Device().run, **limits)
