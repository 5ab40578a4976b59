"""Which steps are on the code and which on the detail, and what a search of a detail does."""

import pytest
import torch

from model_core.encoders.detail_encoder import DETAIL_LIMIT
from model_core.inversion.detail_iterator import (
    COMPARE_EVERY,
    LEAST_UNIT,
    DetailIterator,
    DetailRender,
)
from model_core.inversion.detailed import DetailedIterator, RefineState, code_steps
from model_core.inversion.iterator import IteratorConfig
from tests.model_core.tiny import SHAPE, Edges

GENERATOR = torch.Generator().manual_seed(0)
BASIS = torch.randn(2, 3, generator=GENERATOR)
TARGET = torch.rand(1, 3, 8, 8, generator=GENERATOR) - 0.5
START = torch.full((1, *SHAPE), 0.1)


def true_images(features, details, ws):
    """Two channels of details as colours, on features of one number."""
    img = torch.einsum("bchw,cr->brhw", details, BASIS)
    return img + features


def features_of(ws):
    return ws[:, 0, 0].reshape(-1, 1, 1, 1).detach()


def head_images(features, details, ws):
    """An image head that is too bright by a fifth and by a number."""
    return 1.2 * true_images(features, details, ws) + 0.3


RENDER = DetailRender(features_of, true_images, head_images)


def searched(steps, render=RENDER, on_step=lambda report: True, start=None):
    iterator = DetailIterator(render, Edges())
    details = torch.zeros(1, 2, 8, 8).half() if start is None else start
    state = iterator.start(details, TARGET)
    iterator.run(state, START, TARGET, steps, on_step)
    return state


def true_mse(details):
    img = true_images(features_of(START), details.float(), START)
    return float((img - TARGET).square().mean())


def test_what_is_optimised_is_true_output_whatever_the_head_adds():
    state = searched(60)
    by_true = searched(60, DetailRender(features_of, true_images))
    before, after = true_mse(torch.zeros(1, 2, 8, 8)), true_mse(state.best)
    assert after < before / 2
    assert after == pytest.approx(true_mse(by_true.best), rel=0.05)


def test_the_head_is_used_whatever_its_truth_value():
    class Head:
        """Like a compiled module, which raises when it is asked for its length."""

        def __len__(self):
            raise TypeError

        def __call__(self, features, details, ws):
            return head_images(features, details, ws)

    state = searched(3, DetailRender(features_of, true_images, Head()))
    assert torch.equal(state.best, searched(3).best)


def test_figures_are_true_outputs_where_the_head_is_compared():
    reports, details = [], []

    def on_step(report):
        reports.append(report)
        details.append(state.as_details(state.search.ws))
        return True

    iterator = DetailIterator(RENDER, Edges())
    state = iterator.start(torch.zeros(1, 2, 8, 8).half(), TARGET)
    iterator.run(state, START, TARGET, 2 * COMPARE_EVERY + 3, on_step)
    assert [report.step for report in reports] == list(range(2 * COMPARE_EVERY + 4))
    for step in (0, COMPARE_EVERY, 2 * COMPARE_EVERY, 2 * COMPARE_EVERY + 3):
        assert reports[step].mse.item() == pytest.approx(true_mse(details[step]), rel=1e-4)
    assert {report.phase for report in reports} == {"detail"}


def test_a_search_never_ends_worse_than_its_start():
    best = torch.linalg.lstsq(BASIS.T, (TARGET - 0.1).flatten(2)[0]).solution.reshape(1, 2, 8, 8)
    state = searched(1, start=best.half())
    assert true_mse(state.best) <= true_mse(best.half()) * (1 + 1e-6)


def test_details_are_stored_in_float16_within_their_limit():
    iterator = DetailIterator(RENDER, Edges(), IteratorConfig(lr=1e6))
    state = iterator.start(torch.ones(1, 2, 8, 8).half(), TARGET)
    iterator.run(state, START, TARGET, 3)
    for details in (state.best, state.current):
        assert details.dtype == torch.float16
        assert details.isfinite().all()
        assert details.abs().max() <= DETAIL_LIMIT


def test_channels_move_in_units_of_their_own_spread():
    start = torch.stack([torch.linspace(-8, 8, 64), torch.zeros(64)]).reshape(1, 2, 8, 8)
    state = searched(1, start=start.half())
    moved = (state.as_details(state.search.ws) - start.half()).abs().flatten(2).amax(2)[0]
    spread = start.half().float().flatten(2).std(2)[0, 0]
    assert moved[0] == pytest.approx(0.1 * spread.item(), rel=0.01)
    assert moved[1] == pytest.approx(0.1 * LEAST_UNIT, rel=0.01)


@pytest.mark.parametrize(("steps", "expected"), [(1, 0), (2, 1), (10, 5), (40, 20), (300, 20)])
def test_few_steps_are_on_the_code(steps, expected):
    assert code_steps(steps) == expected


@pytest.mark.parametrize("near", [True, False])
def test_a_code_that_the_encoder_completes_gets_no_steps(near):
    seen = []
    full = torch.linalg.lstsq(BASIS.T, (TARGET - 0.1).flatten(2)[0]).solution.reshape(1, 2, 8, 8)
    target = true_images(features_of(START), full, START)
    iterator = DetailedIterator(
        lambda ws: ws[:, :3, 0].reshape(-1, 3, 1, 1).expand(-1, 3, 8, 8),
        Edges(),
        DetailIterator(RENDER, Edges()),
        lambda _faces, _ws: (full if near else full + 3).half(),
    )
    state = RefineState.start(START)
    iterator.run(state, target, 10, lambda report: seen.append(report.phase) or True)
    assert seen.count("code") == (0 if near else 6)
    assert state.codes.step == (0 if near else 5)
    assert state.step == 10
    assert torch.equal(state.codes.best_ws, START) == near


@pytest.mark.parametrize(
    ("where", "failures", "expected"),
    [("encoding", 1, "detail"), ("encoding", 2, "code"), ("rendering", 1, "detail")],
)
def test_a_detail_that_cannot_begin_leaves_the_steps_to_the_code(where, failures, expected):
    left, seen = iter(range(failures)), []

    def fail_at(place):
        if place == where and next(left, None) is not None:
            raise torch.OutOfMemoryError("out of memory")

    def encode(_faces, _ws):
        fail_at("encoding")
        return torch.zeros(1, 2, 8, 8).half()

    def true(features, details, ws):
        fail_at("rendering")
        return true_images(features, details, ws)

    iterator = DetailedIterator(
        lambda ws: ws[:, :3, 0].reshape(-1, 3, 1, 1).expand(-1, 3, 8, 8),
        Edges(),
        DetailIterator(DetailRender(features_of, true, head_images), Edges()),
        encode,
    )
    state = RefineState.start(START)
    iterator.run(state, TARGET, 10, lambda report: seen.append(report.phase) or True)
    assert state.step == 10
    assert seen[0] == "code"
    assert seen[-1] == expected
