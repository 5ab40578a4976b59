import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.latents.directions.fitting import condition, fit_normal


@pytest.fixture
def codes():
    random = torch.Generator().manual_seed(0)
    return torch.randn(300, 16, generator=random, dtype=torch.float64) + 3


def test_the_direction_of_a_linear_measure_is_found(codes):
    truth = torch.nn.functional.normalize(torch.arange(16.0).double() - 5, dim=0)
    random = torch.Generator().manual_seed(1)
    noise = 0.1 * torch.randn(300, generator=random, dtype=torch.float64)
    normal, accuracy = fit_normal(codes, 7 * (codes @ truth) + noise)
    assert normal.norm().item() == pytest.approx(1)
    assert (normal @ truth).item() > 0.99
    assert accuracy > 0.97


def test_an_attribute_independent_of_codes_scores_at_chance(codes):
    random = torch.Generator().manual_seed(2)
    _, accuracy = fit_normal(codes, torch.randn(300, generator=random, dtype=torch.float64))
    assert 0.2 < accuracy < 0.8


def test_a_conditioned_direction_keeps_the_other_attribute(codes):
    first, second = (torch.nn.functional.normalize(row, dim=0) for row in codes[:2])
    normal = condition(first, second)
    assert (normal @ second).item() == pytest.approx(0, abs=1e-12)
    assert normal.norm().item() == pytest.approx(1)
    assert (normal @ first).item() > 0
    with pytest.raises(InvalidInputError, match="parallel"):
        condition(first, -first)


def test_a_direction_can_be_conditioned_on_correlated_ones(codes):
    first, second, third = (torch.nn.functional.normalize(row, dim=0) for row in codes[:3])
    assert second @ third > 0.5
    normal = condition(first, second, third)
    assert (normal @ second).item() == pytest.approx(0, abs=1e-12)
    assert (normal @ third).item() == pytest.approx(0, abs=1e-12)
    assert torch.equal(condition(first), first / first.norm())


def test_few_samples_are_refused(codes):
    with pytest.raises(InvalidInputError, match="samples must be 50 or more, got 49"):
        fit_normal(codes[:49], codes[:49, 0])
