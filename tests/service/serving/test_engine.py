"""The engine on a stand-in predictor: batching on one thread, warm-up, health."""

import asyncio
import threading

import pytest
import torch

from model_core.errors import CheckpointError
from model_core.latents.latent import Detail, Latent
from service.errors import BatcherClosedError, EngineDownError
from service.observability.metrics import Telemetry
from service.serving.engine import Engine
from tests.service.fakes import FakePredictor, Held, wait_until
from tests.service.serving.engines import face, start

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("batched", "sizes"), [(False, (1,)), (True, (1, 2, 3))])
async def test_warm_up_runs_every_operation_at_every_batch_size_that_counts(batched, sizes):
    predictor = FakePredictor(batched=batched)
    engine = await start(predictor, max_batch=3)
    wanted = {
        (op, size) for op in ("embed", "merge", "detail", "synthesize", "quality") for size in sizes
    }
    once = {("sample", 1), ("polish", 1), ("blend", 1)}
    assert wanted | once == set(predictor.calls)
    assert engine.ready
    assert engine.alive
    await engine.close()


async def test_without_a_network_for_photos_all_else_is_warmed_up():
    class Codes(FakePredictor):
        embeds = merges = False

    predictor = Codes(batched=False)
    engine = await start(predictor)
    wanted = {(op, 1) for op in ("detail", "blend", "synthesize", "quality")}
    assert wanted | {("sample", 1), ("polish", 1)} == set(predictor.calls)
    await engine.close()


async def test_it_starts_compiling_on_its_thread_and_answers_while_the_compiler_is_imported():
    importing, imported = threading.Event(), threading.Event()
    threads = {}

    class Hastening(FakePredictor):
        def import_compiler(self):
            importing.set()
            assert imported.wait(10)

        def start_compiling(self):
            threads["compiling"] = threading.current_thread()

        def embed(self, faces):
            threads["embed"] = threading.current_thread()
            return super().embed(faces)

    engine = await start(Hastening())
    compiling = asyncio.ensure_future(engine.start_compiling())
    assert await asyncio.to_thread(importing.wait, 10)
    assert (await engine.embed(face(51))).value.shape == (18, 512)
    assert "compiling" not in threads
    imported.set()
    await compiling
    assert threads["compiling"] is threads["embed"]
    await engine.close()


async def test_each_operation_answers():
    engine = await start(FakePredictor())
    code = (await engine.embed(face(51))).value
    assert torch.equal(code, torch.full((18, 512), 0.2))
    image = (await engine.synthesize(Latent(code))).value
    assert (image == 51).all()
    detail = Detail((await engine.detail(face(51), code)).value, code)
    assert (await engine.synthesize(Latent(code, detail))).value[0, 0, 0] == 255
    blended = (await engine.blend(Latent(code, detail), Latent(code), 0.5, code)).value
    assert torch.equal(blended.detail.tensor, detail.tensor / 2)
    assert (await engine.quality(face(51), image)).value.lpips_net == "st-lpips-alex"
    assert (await engine.sample(1, 0.5)).value.shape == (18, 512)
    await engine.close()


async def test_a_batch_answers_what_its_items_answer_singly():
    engine = await start(FakePredictor())
    shades = (10, 90, 250)
    singly = [(await engine.embed(face(shade))).value for shade in shades]
    together = await asyncio.gather(*(engine.embed(face(shade)) for shade in shades))
    assert together[1].batch_size > 1
    assert all(torch.equal(a, b.value) for a, b in zip(singly, together, strict=True))
    await engine.close()


async def test_devices_without_batch_gains_run_items_singly():
    answered, begun = [], []

    class Waiting(FakePredictor):
        def embed(self, faces):
            if self.ready:
                wait_until(lambda: answered == begun)  # all before it have their answers
                begun.append(faces[0, 0, 0, 0])
            return super().embed(faces)

        ready = False

    predictor = Waiting(batched=False)
    engine = await start(predictor)
    predictor.ready = True

    async def ask(shade):
        answer = await engine.embed(face(shade))
        answered.append(shade)
        return answer.batch_size

    assert await asyncio.gather(*(ask(shade) for shade in (1, 2, 3))) == [1, 1, 1]
    assert answered == [1, 2, 3]
    await engine.close()


async def test_all_device_work_is_done_by_one_thread():
    threads = set()

    class Noting(FakePredictor):
        def _work(self, op, size):
            threads.add(threading.current_thread().name)
            super()._work(op, size)

    engine = await start(Noting())
    await asyncio.gather(engine.embed(face(1)), engine.sample(1, 1.0))
    assert len(threads) == 1
    assert threads != {threading.main_thread().name}
    await engine.close()


async def test_a_failure_to_load_leaves_it_dead():
    def load():
        raise CheckpointError("no weights")

    engine = Engine(load, Telemetry())
    assert engine.alive
    with pytest.raises(CheckpointError):
        await engine.start()
    assert not engine.alive
    assert not engine.ready
    with pytest.raises(EngineDownError):
        await engine.start_compiling()
    await engine.close()


async def test_a_failed_batch_keeps_the_engine_alive():
    predictor = FakePredictor()
    engine = await start(predictor)
    predictor.failure = RuntimeError("bad batch")
    with pytest.raises(RuntimeError, match="bad batch"):
        await engine.embed(face(1))
    assert engine.alive
    predictor.failure = None
    await engine.embed(face(1))
    await engine.close()


async def test_a_lost_device_leaves_it_dead(monkeypatch):
    predictor = FakePredictor()
    engine = await start(predictor)
    predictor.failure = RuntimeError("device-side assert")

    def lost(*_args, **_kwargs):
        raise RuntimeError("device-side assert")

    monkeypatch.setattr(torch, "zeros", lost)
    with pytest.raises(RuntimeError):
        await engine.embed(face(1))
    assert not engine.alive
    await engine.close()


async def test_a_call_that_hangs_makes_it_dead():
    predictor = Held()
    engine = await start(predictor, stall_s=0.05)
    predictor.hold = True
    call = asyncio.ensure_future(engine.embed(face(1)))
    async with asyncio.timeout(10):
        while engine.alive:
            await asyncio.sleep(0.005)
    assert engine.busy_s > 0.05
    with pytest.raises(EngineDownError):
        engine.check_alive()
    predictor.go.set()
    await call
    assert engine.alive
    await engine.close()


async def test_a_dead_loop_makes_it_dead():
    engine = await start(FakePredictor())
    await engine.batchers[0].close()
    assert not engine.alive
    with pytest.raises(BatcherClosedError):
        await engine.embed(face(1))
    await engine.close()


async def test_without_memory_a_batch_is_tried_singly():
    class Small(FakePredictor):
        def embed(self, faces):
            if self.small and len(faces) > 1:
                raise torch.OutOfMemoryError("too much")
            return super().embed(faces)

        small = False

    predictor, telemetry = Small(), Telemetry()
    engine = Engine(lambda: predictor, telemetry)
    await engine.start()
    assert 'wplus_oom_total{op="encode"} 0.0' in telemetry.exposition().decode()
    predictor.small = True
    answers = await asyncio.gather(*(engine.embed(face(shade)) for shade in (1, 2, 3)))
    assert {answer.batch_size for answer in answers} == {1}
    assert 'wplus_oom_total{op="encode"} 1.0' in telemetry.exposition().decode()
    await engine.close()
