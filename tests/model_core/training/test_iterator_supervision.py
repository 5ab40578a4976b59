import itertools

import pytest
import torch

from model_core.inversion.iterator import IteratorConfig, LatentIterator
from model_core.training.code_cache import CodeCache
from model_core.training.iterator_supervision import (
    IteratorSupervisor,
    IteratorTargets,
    average_figures,
)

SLOTS = torch.tensor([0, 1])


@pytest.fixture
def make(tmp_path, lpips):
    """Build a supervisor whose images are its codes: four rows of twelve as 4 px of RGB."""

    def render(ws):
        return ws.reshape(len(ws), 3, 4, 4)

    def build(from_cache, lr=0.1):
        cache = CodeCache(tmp_path / "cache", ["a", "b"], (4, 12))
        return IteratorSupervisor(
            LatentIterator(render, lpips, IteratorConfig(lr=lr)), cache, 3, from_cache
        )

    return build


@pytest.fixture
def target():
    return torch.linspace(-1, 1, 96).reshape(2, 3, 4, 4)


def far():
    return torch.zeros(2, 4, 12)


def test_targets_are_better_than_the_networks_codes(make, target):
    lesson = make(from_cache=False).supervise(target, SLOTS, far())
    assert (lesson.loss < lesson.start_loss).all()
    assert not lesson.hits.any()
    expected = (lesson.ws.reshape(2, 3, 4, 4) - target).square()
    assert torch.allclose(lesson.loss, expected.mean((1, 2, 3)) + expected.sum(1).mean((1, 2)))


def test_the_cached_code_supervises_if_the_visit_is_worse(make, target):
    supervisor = make(from_cache=False)
    first = supervisor.supervise(target, SLOTS, target.reshape(2, 4, 12) + 0.01)
    second = supervisor.supervise(target, SLOTS, far())
    assert second.hits.all()
    assert torch.equal(second.ws, first.ws)
    assert torch.equal(second.loss, first.loss)


def test_visits_add_up_if_the_iterator_starts_from_the_cache(make, target):
    supervisor = make(from_cache=True)
    losses = [supervisor.supervise(target, SLOTS, far()).loss for _ in range(4)]
    assert all((b < a).all() for a, b in itertools.pairwise(losses))


def test_a_photo_drawn_twice_gets_the_better_code_both_times(make, target):
    supervisor = make(from_cache=False)
    twice = target[:1].repeat(2, 1, 1, 1)
    lesson = supervisor.supervise(twice, torch.tensor([0, 0]), far())
    assert torch.equal(lesson.ws[0], lesson.ws[1])
    assert torch.isfinite(lesson.loss).all()
    assert (lesson.loss < lesson.start_loss).all()
    assert not lesson.hits.any()  # its twin is no hit of the cache


def test_the_cache_is_read_first_only_if_visits_start_from_it(make, target):
    for from_cache in (False, True):
        supervisor, reads = make(from_cache), []
        read = supervisor.cache.read
        supervisor.cache.read = lambda slots, read=read, reads=reads: (
            reads.append(slots) or read(slots)
        )
        supervisor.supervise(target, SLOTS, far())
        assert len(reads) == 1 + from_cache


def test_metrics_are_means_over_all_supervised_photos():
    ws = torch.zeros(3, 4, 12)
    loss, hits = torch.tensor([0.1, 0.2, 0.6]), torch.tensor([True, False, False])
    lessons = [
        IteratorTargets(ws[:2], loss[:2], 2 * loss[:2], hits[:2]),
        IteratorTargets(ws[2:], loss[2:], 2 * loss[2:], hits[2:]),
    ]
    expected = {"iterator": 0.3, "iterator_start": 0.6, "cache_hits": 1 / 3}
    assert average_figures(lessons) == pytest.approx(expected)
    assert average_figures([]) == {}
