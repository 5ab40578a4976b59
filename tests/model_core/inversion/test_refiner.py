import numpy as np
import pytest
import torch

from model_core.inversion.iterator import IteratorState, LatentIterator
from tests.model_core.tiny import CONFIG, SHAPE, Edges, black_head, tiny_generator, tiny_refiner

TARGET = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def refiner():
    return tiny_refiner()


def test_a_face_of_bytes_is_matched_as_the_iterator_does(refiner):
    start = torch.full(SHAPE, 0.1)
    found = refiner.start(start)
    refiner.run(found, TARGET, 4)
    img = torch.from_numpy(TARGET).permute(2, 0, 1)[None].float() / 127.5 - 1
    generator = tiny_generator()
    plain = IteratorState.start(start[None])
    LatentIterator(
        lambda ws: torch.nn.functional.adaptive_avg_pool2d(generator.synthesis(ws), 32),
        Edges(),
        CONFIG,
    ).run(plain, img, 4)
    assert torch.allclose(found.codes.best_ws, plain.best_ws, atol=1e-5)
    assert found.step == 4


def test_a_head_renders_the_first_steps():
    reports = []
    refiner = tiny_refiner(head=black_head())
    start = torch.full(SHAPE, 0.1)
    state = refiner.start(start)
    refiner.run(state, TARGET, 4, lambda r: reports.append(r) or True)
    assert [report.by_head for report in reports] == [True, True, False, False, False]
    black = torch.from_numpy(TARGET).reshape(16, 2, 16, 2, 3).float().mean((1, 3)) / 127.5
    assert reports[0].mse.item() == pytest.approx(black.square().mean().item(), rel=1e-5)
    assert state.codes.best_loss == min(report.loss for report in reports[2:])


def test_a_step_is_reported_and_may_end_the_run(refiner):
    reports = []
    state = refiner.start(torch.zeros(SHAPE))
    refiner.run(state, TARGET, 50, reports.append)
    assert (len(reports), state.step) == (1, 0)  # append answers None


def test_without_detail_a_run_does_not_depend_on_a_detail_encoder():
    plain, detailed = tiny_refiner(), tiny_refiner(detail=True)
    whole, found = (each.start(torch.full(SHAPE, 0.1)) for each in (plain, detailed))
    plain.run(whole, TARGET, 6)
    detailed.run(found, TARGET, 6, detail=False)
    assert found.detail is None
    for name in ("ws", "moment1", "moment2", "best_ws", "best_loss"):
        assert torch.equal(getattr(found.codes, name), getattr(whole.codes, name)), name


def test_with_detail_the_first_steps_are_on_the_code_and_the_others_on_the_detail():
    refiner, reports = tiny_refiner(head=black_head(), detail=True), []
    state = refiner.start(torch.full(SHAPE, 0.1))
    refiner.run(state, TARGET, 60, lambda r: reports.append(r) or True, detail=True)
    assert [report.step for report in reports] == [*range(21), *range(20, 61)]
    assert [report.phase for report in reports] == ["code"] * 21 + ["detail"] * 41
    assert [report.by_head for report in reports] == [True] * 21 + [False] * 41
    assert (state.codes.step, state.step) == (20, 60)
    assert reports[-1].mse < 0.8 * reports[21].mse


def test_without_a_detail_encoder_a_run_with_detail_is_one_without():
    refiner = tiny_refiner()
    state, plain = (refiner.start(torch.full(SHAPE, 0.1)) for _ in range(2))
    refiner.run(state, TARGET, 4, detail=True)
    refiner.run(plain, TARGET, 4)
    assert state.detail is None
    assert torch.equal(state.codes.best_ws, plain.codes.best_ws)
    assert refiner.detail_of(state, TARGET) is None


def test_the_detail_of_a_run_is_the_encoders_until_the_search_of_one_begins():
    refiner = tiny_refiner(detail=True)
    state = refiner.start(torch.full(SHAPE, 0.1))
    refiner.run(state, TARGET, 20, lambda report: report.step < 5, detail=True)
    assert state.detail is None
    encoded = refiner.detail_of(state, TARGET)
    refiner.run(state, TARGET, 15, lambda report: report.phase == "code", detail=True)
    # A run that stops at its first step on the detail has none better than the encoder's.
    at_start = refiner.detail_of(state, TARGET)
    assert state.codes.step == 10
    assert at_start.shape == encoded.shape == (4, 8, 8)
    refiner.run(state, TARGET, 10, detail=True)
    found = refiner.detail_of(state, TARGET)
    assert found.dtype == torch.float16
    assert not torch.equal(found, at_start)


def test_a_failed_device_is_detected(refiner):
    refiner.check_device()
    refiner.device = "meta"  # has no numbers, as a lost one
    with pytest.raises(RuntimeError):
        refiner.check_device()
