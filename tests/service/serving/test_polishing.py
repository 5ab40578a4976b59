"""Polishing within budgets, in slices between the calls of others."""

import asyncio
import time

import pytest
import torch

from tests.service.fakes import FakePredictor, Held
from tests.service.serving.engines import face, start

pytestmark = pytest.mark.anyio


async def test_polishing_yields_to_others_and_meets_all_budgets():
    engine = await start(FakePredictor())
    code, budget_s = torch.zeros(18, 512), 2.0
    started_s = time.monotonic()
    polishes = [asyncio.ensure_future(engine.polish(face(9), code, budget_s)) for _ in range(3)]
    await asyncio.sleep(0.05)
    for _ in range(2):
        await engine.embed(face(1))
    assert not any(task.done() for task in polishes)
    answers = await asyncio.gather(*polishes)
    assert time.monotonic() - started_s < 2 * budget_s
    assert all(answer.value.steps > 0 for answer in answers)
    assert sum(answer.ran_s for answer in answers) < 1.5 * budget_s
    assert all(answer.queued_s > answer.ran_s / 2 for answer in answers)
    await engine.close()


async def test_a_budget_that_ends_in_the_queue_gives_the_code_as_it_was():
    predictor = Held()
    engine = await start(predictor)
    predictor.hold = True
    busy = asyncio.ensure_future(engine.embed(face(1)))
    await asyncio.sleep(0.01)
    answer = await engine.polish(face(1), torch.zeros(18, 512), 0.05)
    assert not busy.done()
    assert (answer.value.steps, answer.ran_s) == (0, 0)
    assert torch.equal(answer.value.ws, torch.zeros(1, 18, 512))
    predictor.go.set()
    await busy
    assert "polish" not in {op for op, _ in predictor.calls[-2:]}  # dropped from the queue
    await engine.close()


async def test_a_budget_leaves_half_of_the_time_until_the_deadline():
    engine = await start(FakePredictor())
    deadline_s = asyncio.get_running_loop().time() + 1.0
    answer = await engine.polish(face(1), torch.zeros(18, 512), 60.0, deadline_s)
    assert answer.value.steps > 0
    assert asyncio.get_running_loop().time() < deadline_s
    await engine.close()


async def test_polishing_stops_when_its_client_disconnects():
    engine = await start(FakePredictor())
    leaver = asyncio.ensure_future(engine.polish(face(1), torch.zeros(18, 512), 600.0))
    await asyncio.sleep(0.05)
    assert engine.busy_s > 0
    leaver.cancel()
    async with asyncio.timeout(10):
        while engine.busy_s > 0:
            await asyncio.sleep(0.005)
    await engine.close()
