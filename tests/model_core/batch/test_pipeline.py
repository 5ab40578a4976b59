import threading

import pytest

from model_core.batch.pipeline import AHEAD, in_two_steps


def test_results_come_in_order_and_the_steps_overlap():
    begun = [threading.Event() for _ in range(4)]

    def first(item):
        begun[item].set()
        return item * 10

    def second(item, halfway):
        # Only a first step that runs meanwhile can begin the next item.
        assert item == 3 or begun[item + 1].wait(10)
        return halfway + 1

    assert list(in_two_steps(range(4), first, second)) == [(0, 1), (1, 11), (2, 21), (3, 31)]


def test_the_first_step_is_a_bounded_number_ahead():
    begun = []
    results = in_two_steps(range(10), begun.append, lambda item, _: item)
    assert next(results) == (0, 0)
    assert len(begun) == AHEAD + 1
    assert [item for item, _ in results] == list(range(1, 10))


def test_a_failure_of_either_step_reaches_the_caller():
    def fail(*_):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(in_two_steps([1], fail, lambda *_: None))
    with pytest.raises(OSError, match="disk full"):
        list(in_two_steps([1], lambda _: None, fail))
