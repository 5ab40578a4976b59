"""Serve calls with a fallback until a background thread has compiled a faster version."""

import logging
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from model_core.runtime.backends import import_compiler, trace_ahead
from model_core.runtime.verdicts import Verdict, Verdicts

P = ParamSpec("P")
R = TypeVar("R")

MIN_ROUNDS, MAX_ROUNDS, ROUNDS_S = 5, 20, 3.0
"""Rounds in which both forms are timed: few if they are slow, more if they are fast."""

QUIET = 1.3
"""Largest ratio of a form's median to its minimum time on a machine that is not busy."""

CLEAR_LOSS = 1.1
"""Fraction of the fallback's time from which the compiled form has clearly lost."""

_log = logging.getLogger(__name__)


class BackgroundCompiled(Generic[P, R]):
    """A function in two forms: a fallback, replaced by a compiled form if that proves faster.

    Made by `CompileQueue.defer`.

    Attributes:
        compiled: Whether the compiled form is in use.
        settled: Whether the form in use is final.

    Args:
        name: Name for the log and the verdict.
        fallback: Serves calls until then.
        make: Builds the compiled form and calls it once, so that it is compiled there.
        call: Calls a form once as requests do, for timing.
    """

    def __init__(
        self,
        name: str,
        fallback: Callable[P, R],
        make: Callable[[], Callable[P, R]],
        call: Callable[[Callable[P, R]], object],
    ):
        self.name = name
        self.compiled = self.settled = False
        self._form = fallback
        self._make: Callable[[], Callable[P, R]] | None = make
        self._call = call

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call whichever form is in use."""
        return self._form(*args, **kwargs)

    def keep_fallback(self) -> None:
        """Keep the fallback for good."""
        self._make, self.settled = None, True

    def compile(self) -> Verdict:
        """Compile, time both forms alternately and keep the faster one."""
        make, self._make = self._make, None  # also frees what only the compilation needs
        if make is None:
            raise RuntimeError(f"{self.name} has already been compiled")
        try:
            return self._race(self._form, make())
        finally:
            self.settled = True

    def _race(self, fallback: Callable[P, R], made: Callable[P, R]) -> Verdict:
        seconds: list[list[float]] = [[], []]
        while len(seconds[1]) < MIN_ROUNDS or (
            len(seconds[1]) < MAX_ROUNDS and sum(map(sum, seconds)) < ROUNDS_S
        ):
            for form, took in zip((fallback, made), seconds, strict=True):
                started_s = time.perf_counter()
                self._call(form)
                took.append(time.perf_counter() - started_s)
        fallback_s, compiled_s = map(min, seconds)
        quiet = all(statistics.median(took) <= QUIET * min(took) for took in seconds)
        is_sure = compiled_s < fallback_s or (quiet and compiled_s >= CLEAR_LOSS * fallback_s)
        verdict = Verdict(fallback_s, compiled_s, is_sure)
        if verdict.compiled_wins:
            self._form, self.compiled = made, True
        return verdict


class CompileQueue:
    """Compile functions one after another, in the order in which they were deferred.

    No failure here ends a process that is serving: a function that cannot be compiled
    keeps its fallback, and the log says why.

    Args:
        verdicts: Remembers which form was faster; a function whose fallback clearly won before, on
            a quiet machine, is not compiled again. None remembers nothing.
    """

    def __init__(self, verdicts: Verdicts | None = None):
        self._verdicts = verdicts
        self._waiting: list[BackgroundCompiled[Any, Any]] = []
        self._thread: threading.Thread | None = None

    def defer(
        self,
        name: str,
        fallback: Callable[P, R],
        make: Callable[[], Callable[P, R]],
        call: Callable[[Callable[P, R]], object],
    ) -> BackgroundCompiled[P, R]:
        """Serve calls with a fallback until `start` or `run` has compiled a faster form.

        Args:
            name: Name for the log and the verdict, unique in the queue.
            fallback: Serves calls until then.
            make: Builds the compiled form and calls it once.
            call: Calls a form once as requests do, for timing.
        """
        deferred = BackgroundCompiled(name, fallback, make, call)
        verdict = self._verdicts.read(name) if self._verdicts else None
        if verdict and not verdict.compiled_wins:
            _log.info(
                "%s is not compiled: here that took %.0f ms and the fallback %.0f ms",
                name,
                verdict.compiled_s * 1e3,
                verdict.fallback_s * 1e3,
            )
            deferred.keep_fallback()
        else:
            self._waiting.append(deferred)
        return deferred

    def import_compiler(self) -> None:
        """Import the compiler if anything is deferred: takes seconds, on any thread."""
        if self._waiting:
            try:
                import_compiler()
            except Exception:
                _log.exception("the compiler cannot be imported: keeping the fallbacks")
                self._give_up()

    def start(self) -> None:
        """Compile on a background thread; returns immediately.

        Call it on the thread that calls the fallbacks, while no other thread calls modules.
        """
        if not self._waiting:
            return
        try:
            trace_ahead()
            thread = threading.Thread(target=self.run, name="compile", daemon=True)
            thread.start()
            self._thread = thread
        except Exception:
            _log.exception("nothing can be compiled: keeping the fallbacks")
            self._give_up()

    def run(self) -> None:
        """Compile what was deferred, on this thread."""
        while self._waiting:
            self._settle(self._waiting.pop(0))

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait, once started, until everything is settled."""
        if self._thread:
            self._thread.join(timeout_s)

    def _give_up(self) -> None:
        while self._waiting:
            self._waiting.pop().keep_fallback()

    def _settle(self, deferred: BackgroundCompiled[Any, Any]) -> None:
        name, started_s = deferred.name, time.monotonic()
        try:
            verdict = deferred.compile()
            _log.info(
                "%s compiled in %.0f s: %.0f ms, the fallback %.0f ms; the %s form serves",
                name,
                time.monotonic() - started_s,
                verdict.compiled_s * 1e3,
                verdict.fallback_s * 1e3,
                "compiled" if deferred.compiled else "fallback",
            )
        except Exception:
            _log.exception("%s cannot be compiled: keeping its fallback", name)
            return
        try:
            if self._verdicts and verdict.is_sure:
                self._verdicts.write(name, verdict)
        except OSError as err:
            _log.warning("the verdict on %s cannot be saved: %s", name, err)
