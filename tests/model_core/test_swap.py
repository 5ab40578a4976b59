import logging
import threading

from model_core.swap import Swap


def slow(x):
    return ("slow", x)


def fast(x):
    return ("fast", x)


def test_the_slow_function_answers_until_the_fast_one_is_made():
    made = threading.Event()

    def make():
        made.wait(10.0)
        return fast

    swap = Swap(slow, make, "thing")
    assert swap(1) == ("slow", 1)
    assert not swap.swapped
    made.set()
    swap.wait(10.0)
    assert swap(2) == ("fast", 2)
    assert swap.swapped


def test_the_slow_function_stays_where_the_fast_one_cannot_be_made(caplog):
    def make():
        raise RuntimeError("no compiler")

    with caplog.at_level(logging.ERROR):
        swap = Swap(slow, make, "thing")
        swap.wait(10.0)
    assert swap(1) == ("slow", 1)
    assert not swap.swapped
    assert "the fast thing cannot be made" in caplog.text
    assert "no compiler" in caplog.text
