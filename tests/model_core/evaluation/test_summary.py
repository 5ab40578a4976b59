import numpy as np
import pytest

from model_core.evaluation.summary import Summary


def test_mean_and_median_are_of_the_values():
    found = Summary.of([1.0, 2.0, 9.0])
    assert (found.mean, found.median) == (4.0, 2.0)
    assert found == Summary.of([1.0, 2.0, 9.0])


def test_the_interval_holds_the_median_and_shrinks_with_more_values():
    values = np.random.default_rng(1).standard_normal(400).tolist()
    few, many = Summary.of(values[:20]), Summary.of(values)
    for found in (few, many):
        assert found.low <= found.median <= found.high
    assert many.high - many.low < 0.5 * (few.high - few.low)
    # The standard error of a normal sample's median is 1.25 / sqrt(n).
    assert many.high - many.low == pytest.approx(2 * 1.96 * 1.25 / 20, rel=0.4)


def test_one_value_is_its_own_interval():
    assert Summary.of([3.0]) == Summary(3.0, 3.0, 3.0, 3.0)
