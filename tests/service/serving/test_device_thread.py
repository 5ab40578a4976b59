"""The thread that owns the device."""

import asyncio
import threading

import pytest

from service.serving.device_thread import DeviceThread

pytestmark = pytest.mark.anyio


async def test_calls_run_in_order_on_one_thread():
    thread, names = DeviceThread("cpu"), []

    def note(number):
        names.append((number, threading.current_thread().name))
        return number

    assert await asyncio.gather(*(thread.run(note, number) for number in range(4))) == [0, 1, 2, 3]
    assert [number for number, _ in names] == [0, 1, 2, 3]
    assert len({name for _, name in names}) == 1
    thread.close()


async def test_it_is_busy_during_a_call_and_closing_cancels_those_that_wait():
    thread, begun, go = DeviceThread("cpu"), threading.Event(), threading.Event()

    def hold():
        begun.set()
        assert go.wait(10)

    assert thread.idle
    running, waiting = (asyncio.ensure_future(thread.run(hold)) for _ in range(2))
    assert await asyncio.to_thread(begun.wait, 10)
    assert not thread.idle
    assert thread.busy_s > 0
    thread.close()
    go.set()
    await running
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert thread.idle
    assert thread.busy_s == 0


async def test_a_failed_call_loses_the_device_only_if_it_answers_no_more():
    def fail():
        raise RuntimeError("a kernel failed")

    for device, lost in (("cpu", False), ("cuda:99", True)):
        thread = DeviceThread(device)
        with pytest.raises(RuntimeError, match="a kernel failed"):
            await thread.run(fail)
        assert thread.lost is lost
        thread.close()
