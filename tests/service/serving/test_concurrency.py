"""Awaiting several things at once, and ending what may not want to end."""

import asyncio
import contextlib
from functools import partial

import anyio
import pytest

from service.serving.concurrency import cancel_all, gather, is_cancelled, within

pytestmark = pytest.mark.anyio


async def after(seconds, value):
    await anyio.sleep(seconds)
    return value


async def test_results_come_in_the_order_of_the_calls():
    assert await gather(partial(after, 0.01, "a"), partial(after, 0, "b")) == ["a", "b"]
    assert await gather() == []


async def test_the_first_failure_cancels_the_rest_and_is_raised_unwrapped():
    finished = []

    async def slow():
        await anyio.sleep(10)
        finished.append(True)

    async def broken():
        raise ZeroDivisionError

    with anyio.fail_after(5), pytest.raises(ZeroDivisionError):
        await gather(slow, broken)
    assert not finished


async def deaf(over):
    while not over.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await over.wait()


async def test_a_swallowed_cancellation_is_detected():
    async def swallow():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return is_cancelled()

    task = asyncio.ensure_future(swallow())
    await asyncio.sleep(0)
    assert not is_cancelled()
    task.cancel()
    assert await task


async def test_tasks_that_ignore_cancellation_are_abandoned(caplog):
    over = asyncio.Event()

    async def fail():
        raise ZeroDivisionError

    tasks = [asyncio.ensure_future(each) for each in (deaf(over), asyncio.sleep(10), fail())]
    await asyncio.sleep(0)
    with anyio.fail_after(5):
        await cancel_all(tasks, 0.1)
        await cancel_all([], 0.1)
    assert [task.done() for task in tasks] == [False, True, True]
    assert "ignores its cancellation" in caplog.text
    assert "failed: ZeroDivisionError()" in caplog.text
    over.set()
    await tasks[0]


async def test_each_part_of_stopping_has_a_time_limit(caplog):
    over = asyncio.Event()
    with anyio.fail_after(5):
        await within(5, asyncio.sleep(0), "nothing")
        assert caplog.text == ""
        await within(0.1, deaf(over), "closing")
    assert "closing takes more than 0.1 s" in caplog.text
    over.set()

    async def fail():
        raise ZeroDivisionError

    await within(5, fail(), "ending")
    assert "ending failed: ZeroDivisionError()" in caplog.text
