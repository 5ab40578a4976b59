"""The gate: decides which requests may enter, before a byte of the body is read."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import DrainingError, OverloadedError

FILMS = "films"  # the operation that receives films, which needs no device
RENDERED = ("/preview", "/result")  # of a job, rendered on request


def is_work(method: str, path: str) -> bool:
    """Whether a request may need the device; lookups are cheap."""
    return method == "POST" or path.endswith(RENDERED)


class Gate:
    """Count the requests inside, and refuse those that may not enter.

    Args:
        max_inflight: Most requests inside at once.
        check_ready: Raises unless everything that requests need is ready.
    """

    def __init__(self, max_inflight: int, check_ready: Callable[[], None]) -> None:
        self._max_inflight = max_inflight
        self._check_ready = check_ready
        self._draining = False
        self._inside: Counter[str] = Counter()

    @property
    def inflight(self) -> int:
        """Number of requests inside."""
        return self._inside.total()

    @property
    def uses_device(self) -> bool:
        """Whether a request inside may use the device."""
        return self.inflight > self.inflight_of(FILMS)

    def inflight_of(self, op: str) -> int:
        """Number of requests inside for one operation."""
        return self._inside[op]

    @property
    def draining(self) -> bool:
        """Whether no more requests are admitted."""
        return self._draining

    def drain(self) -> None:
        """Admit no more requests."""
        self._draining = True

    def check(self) -> None:
        """Raise unless requests can be served.

        Raises:
            DrainingError: If the service is stopping.
            NotReadyError, EngineDownError: As `check_ready`.
        """
        if self._draining:
            raise DrainingError("The service is shutting down.")
        self._check_ready()

    @contextmanager
    def enter(self, op: str) -> Iterator[None]:
        """Hold a place inside for a request for an operation.

        Raises:
            OverloadedError: If all places are taken.
            DrainingError, NotReadyError, EngineDownError: As `check`.
        """
        self.check()
        if self.inflight >= self._max_inflight:
            raise OverloadedError(
                f"The service is at its concurrency limit of {self._max_inflight} requests."
            )
        self._inside[op] += 1
        try:
            yield
        finally:
            self._inside[op] -= 1
