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
    assert torch.allclose(found.best_ws, plain.best_ws, atol=1e-5)
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
    assert state.best_loss == min(report.loss for report in reports[2:])


def test_a_step_is_reported_and_may_end_the_run(refiner):
    reports = []
    state = refiner.start(torch.zeros(SHAPE))
    refiner.run(state, TARGET, 50, reports.append)
    assert (len(reports), state.step) == (1, 0)  # append answers None


def test_a_failed_device_is_detected(refiner):
    refiner.check_device()
    refiner.device = "meta"  # has no numbers, as a lost one
    with pytest.raises(RuntimeError):
        refiner.check_device()
