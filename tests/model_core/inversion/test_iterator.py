import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.inversion.iterator import IteratorConfig, IteratorState, LatentIterator
from model_core.perceptual.stlpips import Perceptual


class Edges(Perceptual):
    """A perceptual distance for tests: differences of neighbouring pixels."""

    name = "edges"

    def features(self, img):
        return [img.diff(dim=3)]


MIX = torch.randn(12, 3 * 64, generator=torch.Generator().manual_seed(0)) / 4


def render(ws):
    return torch.tanh(ws.flatten(1) @ MIX).reshape(-1, 3, 8, 8)


@pytest.fixture
def target():
    return render(torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(1)))


@pytest.fixture
def start():
    return torch.zeros(3, 3, 4)


def ran(iterator, start, *args):
    """Run from a start; answer the state."""
    state = IteratorState.start(start)
    iterator.run(state, *args)
    return state


def assert_same(one, other):
    assert one.step == other.step
    for name in ("ws", "moment1", "moment2", "best_ws", "best_loss"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.fixture
def iterator():
    return LatentIterator(render, Edges(), IteratorConfig(lr=0.05))


def test_the_loss_falls_and_the_best_codes_have_the_best_loss(iterator, start, target):
    reports = []
    state = IteratorState.start(start)
    iterator.run(state, target, 60, lambda r: reports.append(r) or True)
    losses = torch.stack([report.loss for report in reports])
    assert [report.step for report in reports] == list(range(61))
    assert (losses[-1] < 0.2 * losses[0]).all()
    assert torch.equal(state.best_loss, losses.amin(dim=0))
    img = render(state.best_ws)
    mse = (img - target).square().mean(dim=(1, 2, 3))
    again = mse + Edges()(img, target)
    assert torch.allclose(again, state.best_loss, atol=1e-6)


def test_the_update_matches_adam(iterator, start, target):
    state = ran(iterator, start + 0.1, target, 7)
    ws = (start + 0.1).clone().requires_grad_(True)
    adam = torch.optim.Adam([ws], lr=0.05)
    for _ in range(7):
        img = render(ws)
        loss = (img - target).square().mean(dim=(1, 2, 3)) + Edges()(img, target)
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
    assert torch.allclose(state.ws, ws, atol=1e-5)


def test_items_do_not_influence_each_other(iterator, start, target):
    together = ran(iterator, start, target, 5)
    for i in range(3):
        alone = ran(iterator, start[i : i + 1], target[i : i + 1], 5)
        assert torch.allclose(alone.ws[0], together.ws[i], atol=1e-6)


def test_a_stopped_run_resumes_bit_identically(iterator, start, target):
    whole = ran(iterator, start, target, 9)
    parts = ran(iterator, start, target, 4)
    iterator.run(parts, target, 5)
    assert_same(parts, whole)


def test_single_steps_are_those_of_a_run(iterator, start, target):
    whole, single = ran(iterator, start, target, 3), IteratorState.start(start)
    descent = iterator.begin(single, target)
    for _ in range(3):
        descent.evaluate()
        descent.update()
    descent.score()
    assert_same(single, whole)


def test_a_false_answer_stops_the_run(iterator, start, target):
    state = ran(iterator, start, target, 50, lambda report: report.step < 3)
    assert state.step == 3


def test_zero_steps_only_measure_the_start(iterator, start, target):
    state = ran(iterator, start, target, 0)
    assert torch.equal(state.ws, start)
    assert state.best_loss.isfinite().all()


def test_larger_renderings_are_resized_to_the_target_by_area(start, target):
    small = ran(LatentIterator(render, Edges()), start, target, 3)
    large = LatentIterator(
        lambda ws: render(ws).repeat_interleave(4, 2).repeat_interleave(4, 3), Edges()
    )
    assert torch.allclose(ran(large, start, target, 3).ws, small.ws, atol=1e-6)


def test_codes_and_targets_must_pair_up(iterator, start, target):
    with pytest.raises(InvalidInputError, match="one image per code"):
        iterator.run(IteratorState.start(start), target[:2], 1)
