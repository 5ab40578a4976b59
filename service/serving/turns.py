"""Bounds the requests that hold much memory: frames of 3 MB each, whole photos of 75 MB."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from service.errors import OverloadedError


class Turns:
    """Limit the requests of one kind: some run at once, and as many more may wait.

    Args:
        at_once: How many run at once.
        kind: What they are, in the message of a refusal.
    """

    def __init__(self, at_once: int, kind: str) -> None:
        self.turn = anyio.Semaphore(at_once)
        self._most = 2 * at_once
        self._kind = kind
        self._inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a place for a request, which then waits for its `turn`.

        Raises:
            OverloadedError: If all places are taken.
        """
        if self._inside >= self._most:
            raise OverloadedError(f"The service is at its limit of {self._most} {self._kind}.")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
