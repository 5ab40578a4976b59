import logging
import threading

import torch
from torch._inductor.loop_body import InterpreterShim

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
    swap.start()
    assert swap(1) == ("slow", 1)
    assert not swap.swapped
    made.set()
    swap.wait(10.0)
    assert swap(2) == ("fast", 2)
    assert swap.swapped


def test_what_is_started_first_is_made_first():
    made, order = threading.Event(), []

    def first():
        made.wait(10.0)
        order.append("first")
        return fast

    def second():
        order.append("second")
        return fast

    swaps = [Swap(slow, first, "first"), Swap(slow, second, "second")]
    for swap in swaps:
        swap.start()
    swaps[1].wait(0.2)
    assert order == []
    made.set()
    for swap in swaps:
        swap.wait(10.0)
    assert order == ["first", "second"]


def test_the_slow_function_stays_where_the_fast_one_cannot_be_made(caplog):
    def make():
        raise RuntimeError("no compiler")

    with caplog.at_level(logging.ERROR):
        swap = Swap(slow, make, "thing")
        swap.start()
        swap.wait(10.0)
    assert swap(1) == ("slow", 1)
    assert not swap.swapped
    assert "the fast thing cannot be made" in caplog.text
    assert "no compiler" in caplog.text


def test_the_thread_that_compiles_finds_the_trace_that_others_must_not_meet(monkeypatch):
    """Only a thread's first trace by torch.fx is seen: a module then cannot be called elsewhere."""
    InterpreterShim._dummy_gm.cache_clear()
    traced = []
    trace = torch.fx.symbolic_trace

    def note(function):
        traced.append(threading.current_thread())
        return trace(function)

    def make():
        InterpreterShim._dummy_gm()  # what TorchInductor does at its first kernel
        return fast

    monkeypatch.setattr(torch.fx, "symbolic_trace", note)
    swap = Swap(slow, make, "thing")
    swap.start()
    swap.wait(10.0)
    assert traced == [threading.current_thread()]
