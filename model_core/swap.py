"""Answer at once by a slower function, and by a faster one when that has been made."""

import logging
import threading
import time
from collections.abc import Callable
from typing import ClassVar, Generic, ParamSpec, TypeVar

from model_core.backends import trace_ahead

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


class Swap(Generic[P, R]):
    """A function that is replaced by a faster one, made in a thread of its own once started.

    One is made after the other, in the order of their start: TorchInductor would do so too, but in
    any order. If the faster one cannot be made, the error is logged and the slower one stays.

    Args:
        now: What answers until then.
        make: Builds the faster function and runs it once, so that whatever compiles does so there.
        name: What is made, for the log.
    """

    _last: ClassVar[threading.Thread | None] = None

    def __init__(self, now: Callable[P, R], make: Callable[[], Callable[P, R]], name: str):
        self._run, self._make, self._name = now, make, name
        self.swapped = self._started = False
        self._before: threading.Thread | None = None
        self._thread = threading.Thread(target=self._prepare, name=f"make-{name}", daemon=True)

    @property
    def settled(self) -> bool:
        """Whether the faster function is there, or could not be made."""
        return self._started and not self._thread.is_alive()

    def start(self) -> None:
        """Begin to make the faster function; returns at once."""
        trace_ahead()
        self._before, Swap._last = Swap._last, self._thread
        self._thread.start()
        self._started = True

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call whichever function there is."""
        return self._run(*args, **kwargs)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait, once started, until the faster function is there or could not be made."""
        self._thread.join(timeout_s)

    def _prepare(self) -> None:
        if self._before:
            self._before.join()
        started_s = time.monotonic()
        try:
            self._run = self._make()
        except Exception:
            _log.exception("the fast %s cannot be made; the slow one stays", self._name)
            return
        self.swapped = True
        _log.info("the fast %s is ready after %.0f s", self._name, time.monotonic() - started_s)
