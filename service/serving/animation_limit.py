"""Limits morphs of many frames: a frame takes 3 MB at 1024 px and a fraction of a second."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from service.errors import OverloadedError


class AnimationLimit:
    """Limit the requests for many frames: some run at once, and as many more may wait.

    Args:
        at_once: How many run at once.
    """

    def __init__(self, at_once: int) -> None:
        self.turn = anyio.Semaphore(at_once)
        self._most = 2 * at_once
        self._inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a place for a request, which then waits for its `turn`.

        Raises:
            OverloadedError: If all places are taken.
        """
        if self._inside >= self._most:
            raise OverloadedError(
                f"The service is at its limit of {self._most} morphs of many frames."
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
