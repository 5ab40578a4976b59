"""The gate: who may come in now, decided before a byte of the body is read."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import DrainingError, OverloadedError

RENDERED = ("/preview", "/result")  # of a job, drawn when asked for


def is_work(method: str, path: str) -> bool:
    """Whether a request may ask for the device; to look something up costs little."""
    return method == "POST" or path.endswith(RENDERED)


class Gate:
    """Count the requests inside, refuse those that must not enter.

    Args:
        max_inflight: Most requests inside at once.
        check_ready: Raises unless all that requests need is there.
    """

    def __init__(self, max_inflight: int, check_ready: Callable[[], None]) -> None:
        self._max_inflight = max_inflight
        self._check_ready = check_ready
        self._draining = False
        self._inside: Counter[str] = Counter()

    @property
    def inflight(self) -> int:
        """Requests inside."""
        return self._inside.total()

    def inflight_of(self, op: str) -> int:
        """Requests inside that ask for an operation."""
        return self._inside[op]

    @property
    def draining(self) -> bool:
        """Whether nobody is let in any more."""
        return self._draining

    def drain(self) -> None:
        """Let nobody in any more."""
        self._draining = True

    def check(self) -> None:
        """Refuse unless requests can be served.

        Raises:
            DrainingError: If the service is stopping.
            NotReadyError, EngineDownError: As `check_ready`.
        """
        if self._draining:
            raise DrainingError("The service is shutting down.")
        self._check_ready()

    @contextmanager
    def enter(self, op: str) -> Iterator[None]:
        """Hold a place inside for a request that asks for an operation.

        Raises:
            OverloadedError: If all places are taken.
            DrainingError, NotReadyError, EngineDownError: As `check`.
        """
        self.check()
        if self.inflight >= self._max_inflight:
            raise OverloadedError(
                f"requests in flight must be under {self._max_inflight}, got {self.inflight}"
            )
        self._inside[op] += 1
        try:
            yield
        finally:
            self._inside[op] -= 1
