"""Awaiting several things at once."""

from functools import partial

import anyio
import pytest

from service.concurrency import together

pytestmark = pytest.mark.anyio


async def after(seconds, value):
    await anyio.sleep(seconds)
    return value


async def test_results_come_in_the_order_of_the_calls():
    assert await together(partial(after, 0.01, "a"), partial(after, 0, "b")) == ["a", "b"]
    assert await together() == []


async def test_the_first_failure_cancels_the_rest_and_is_raised_bare():
    finished = []

    async def slow():
        await anyio.sleep(10)
        finished.append(True)

    async def broken():
        raise ZeroDivisionError

    with anyio.fail_after(5), pytest.raises(ZeroDivisionError):
        await together(slow, broken)
    assert not finished
