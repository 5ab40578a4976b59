import pytest
import torch
from torch.nn import functional as F

from model_core.inversion.iterator import IteratorConfig, IteratorState, LatentIterator
from model_core.inversion.two_stage import EARLY_STEPS, HeadRender, TwoStageIterator
from tests.model_core.tiny import Edges

CONFIG = IteratorConfig(lr=0.05)
MIX = torch.randn(12, 3 * 64, generator=torch.Generator().manual_seed(0)) / 4
SMALL_PX = 4


def render(ws):
    return torch.tanh(ws.flatten(1) @ MIX).reshape(-1, 3, 8, 8)


def render_small(ws):
    """Smaller images of a generator that has lost its contrast, so that losses are lower."""
    return 0.1 * F.adaptive_avg_pool2d(render(ws), SMALL_PX)


@pytest.fixture
def target():
    return render(torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1)))


@pytest.fixture
def fast():
    return TwoStageIterator(render, Edges(), CONFIG, HeadRender(render_small, SMALL_PX))


def start():
    return IteratorState.start(torch.full((2, 3, 4), 0.1))


def told(iterator, state, target, steps, stop_at=None):
    """Run; answer the state and the reports."""
    reports = []

    def on_step(report):
        reports.append(report)
        return report.step != stop_at

    iterator.run(state, target, steps, on_step)
    return state, reports


def by_head(reports):
    return sum(report.by_head for report in reports)


@pytest.mark.parametrize(
    ("steps", "early"),
    [
        (0, 0),
        (1, 0),
        (2, 1),
        (7, 3),
        (2 * EARLY_STEPS - 1, EARLY_STEPS - 1),
        (2 * EARLY_STEPS, EARLY_STEPS),
        (2 * EARLY_STEPS + 9, EARLY_STEPS),
    ],
)
def test_the_head_does_the_first_half_but_no_more_than_its_share(fast, target, steps, early):
    state, reports = told(fast, start(), target, steps)
    assert state.step == steps
    assert [report.step for report in reports] == [*range(steps + 1)]
    assert [report.by_head for report in reports] == [True] * early + [False] * (steps + 1 - early)


def test_the_stages_share_codes_and_moments(fast, target):
    found, _ = told(fast, start(), target, 9)
    expected = start()
    small = F.adaptive_avg_pool2d(target, SMALL_PX)
    LatentIterator(render_small, Edges(), CONFIG).run(expected, small, 4, score_last=False)
    assert expected.moment1.abs().sum() > 0
    expected.best_loss.fill_(torch.inf)
    LatentIterator(render, Edges(), CONFIG).run(expected, target, 5)
    for name in ("ws", "moment1", "moment2", "best_ws", "best_loss"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


def test_the_best_is_that_of_true_output(fast, target):
    state, reports = told(fast, start(), target, 12)
    early, late = ([r.loss for r in reports if r.by_head is head] for head in (True, False))
    assert torch.equal(state.best_loss, torch.stack(late).amin(dim=0))
    assert (torch.stack(early).amin(dim=0) < state.best_loss).any()  # else nothing is shown
    again = LatentIterator(render, Edges(), CONFIG).losses(state.best_ws, target)
    assert torch.allclose(again, state.best_loss, atol=1e-6)


@pytest.mark.parametrize("stop_at", [0, 2, 5, 6, 7, 11])
def test_a_stopped_run_resumes_unchanged(fast, target, stop_at):
    whole, _ = told(fast, start(), target, 12)
    stopped, before = told(fast, start(), target, 12, stop_at)
    assert stopped.step == stop_at
    found, after = told(fast, stopped, target, 12 - stop_at)
    assert [report.step for report in after] == [*range(stop_at, 13)]
    assert by_head(before[:stop_at]) + by_head(after) == 6
    for name in ("ws", "moment1", "moment2", "best_ws", "best_loss"):
        assert torch.equal(getattr(found, name), getattr(whole, name))


def test_without_a_head_it_is_the_iterator(target):
    found, reports = told(TwoStageIterator(render, Edges(), CONFIG), start(), target, 9)
    plain, expected = told(LatentIterator(render, Edges(), CONFIG), start(), target, 9)
    assert by_head(reports) == 0
    assert len(reports) == len(expected)
    assert torch.equal(found.best_ws, plain.best_ws)
    assert torch.equal(found.best_loss, plain.best_loss)
