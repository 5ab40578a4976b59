import itertools
import logging
import threading
import time

import pytest
import torch
from torch._inductor.loop_body import InterpreterShim

from model_core.runtime import background
from model_core.runtime.background import CompileQueue
from model_core.runtime.verdicts import Verdict, Verdicts


def fallback(x):
    return ("fallback", x)


def compiled(x):
    return ("compiled", x)


def takes(seconds, answer):
    """A form that takes a time."""

    def form(x):
        time.sleep(seconds)
        return (answer, x)

    return form


def call(form):
    form(0)


@pytest.fixture
def verdicts(tmp_path):
    return Verdicts(tmp_path / "verdicts", "cpu", "float32", {})


def test_the_fallback_serves_until_a_faster_form_is_compiled():
    made = threading.Event()

    def make():
        made.wait(10.0)
        return compiled

    queue = CompileQueue()
    serve = queue.defer("thing", takes(0.01, "fallback"), make, call)
    assert serve(1) == ("fallback", 1)
    queue.start()
    assert serve(1) == ("fallback", 1)
    assert not serve.compiled
    made.set()
    queue.wait(10.0)
    assert serve(2) == ("compiled", 2)
    assert serve.compiled


def test_a_slower_compiled_form_is_dropped_and_both_times_are_logged(caplog):
    queue = CompileQueue()
    serve = queue.defer("thing", fallback, lambda: takes(0.02, "compiled"), call)
    with caplog.at_level(logging.INFO):
        queue.run()
    assert serve(1) == ("fallback", 1)
    assert not serve.compiled
    assert "the fallback form serves" in caplog.text
    assert "20 ms, the fallback 0 ms" in caplog.text


def test_a_verdict_is_stored_and_the_loser_is_not_compiled_again(verdicts):
    first = CompileQueue(verdicts)
    # Long enough that what else runs on the machine does not make the times look uneven.
    first.defer("lost", takes(0.05, "fallback"), lambda: takes(0.15, "compiled"), call)
    first.defer("won", takes(0.05, "fallback"), lambda: compiled, call)
    first.run()
    assert not verdicts.read("lost").compiled_wins
    assert verdicts.read("won").compiled_wins

    asked = []
    second = CompileQueue(verdicts)
    serve = {
        name: second.defer(name, fallback, lambda name=name: asked.append(name) or compiled, call)
        for name in ("lost", "won")
    }
    second.run()
    assert asked == ["won"]
    assert serve["lost"](1) == ("fallback", 1)


def test_a_loss_on_a_busy_machine_or_by_little_is_not_remembered(verdicts):
    pauses_s = itertools.cycle((0.001, 0.02, 0.02))

    def uneven(x):
        time.sleep(next(pauses_s))
        return ("compiled", x)

    queue = CompileQueue(verdicts)
    busy = queue.defer("busy", fallback, lambda: uneven, call)
    even = queue.defer("even", takes(0.02, "fallback"), lambda: takes(0.0205, "compiled"), call)
    queue.run()
    assert not busy.compiled
    assert verdicts.read("busy") is None
    assert verdicts.read("even") is None or even.compiled


def test_forms_are_compiled_in_the_order_in_which_they_were_deferred():
    made, order = threading.Event(), []
    queue = CompileQueue()

    def first():
        made.wait(10.0)
        order.append("first")
        return compiled

    def second():
        order.append("second")
        return compiled

    queue.defer("first", fallback, first, call)
    queue.defer("second", fallback, second, call)
    queue.start()
    assert order == []
    made.set()
    queue.wait(10.0)
    assert order == ["first", "second"]


def test_a_failed_compilation_keeps_its_fallback_and_the_next_one_runs(caplog):
    def make():
        raise RuntimeError("no compiler")

    queue = CompileQueue()
    broken = queue.defer("broken", fallback, make, call)
    whole = queue.defer("whole", takes(0.01, "fallback"), lambda: compiled, call)
    with caplog.at_level(logging.ERROR):
        queue.start()
        queue.wait(10.0)
    assert broken(1) == ("fallback", 1)
    assert not broken.compiled
    assert whole.compiled
    assert "broken cannot be compiled" in caplog.text
    assert "no compiler" in caplog.text


def test_a_compiled_form_that_fails_when_called_keeps_the_fallback():
    def broken(_x):
        raise RuntimeError("wrong shape")

    queue = CompileQueue()
    serve = queue.defer("thing", fallback, lambda: broken, call)
    queue.run()
    assert serve(1) == ("fallback", 1)


def test_a_verdict_that_cannot_be_written_changes_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    queue = CompileQueue(Verdicts(tmp_path / "file" / "verdicts", "cpu", "float32", {}))
    serve = queue.defer("thing", takes(0.01, "fallback"), lambda: compiled, call)
    queue.run()
    assert serve.compiled
    assert "cannot be saved" in caplog.text


@pytest.mark.parametrize("part", ["trace_ahead", "import_compiler"])
def test_an_incompatible_torch_keeps_all_fallbacks(monkeypatch, caplog, part):
    def missing():
        raise AttributeError("type object 'InterpreterShim' has no attribute '_dummy_gm'")

    monkeypatch.setattr(background, part, missing)
    queue = CompileQueue()
    serve = queue.defer("thing", fallback, lambda: compiled, call)
    queue.import_compiler()
    queue.start()
    queue.wait(10.0)
    assert serve(1) == ("fallback", 1)
    assert "keeping the fallbacks" in caplog.text


def test_nothing_is_imported_or_traced_if_nothing_waits(monkeypatch, verdicts):
    called = []  # to raise would not do: the queue bears whatever goes wrong
    for part in ("trace_ahead", "import_compiler"):
        monkeypatch.setattr(background, part, lambda part=part: called.append(part))
    verdicts.write("thing", Verdict(fallback_s=1.0, compiled_s=2.0))
    queue = CompileQueue(verdicts)
    queue.defer("thing", fallback, lambda: compiled, call)
    queue.import_compiler()
    queue.start()
    assert called == []


def test_only_the_compile_thread_uses_the_trace(monkeypatch):
    """Only a thread's first trace by torch.fx is seen: a module then cannot be called elsewhere."""
    InterpreterShim._dummy_gm.cache_clear()
    traced = []
    trace = torch.fx.symbolic_trace

    def note(function):
        traced.append(threading.current_thread())
        return trace(function)

    def make():
        InterpreterShim._dummy_gm()  # what TorchInductor does at its first kernel
        return compiled

    monkeypatch.setattr(torch.fx, "symbolic_trace", note)
    queue = CompileQueue()
    queue.defer("thing", fallback, make, call)
    queue.start()
    queue.wait(10.0)
    assert traced == [threading.current_thread()]
