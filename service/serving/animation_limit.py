"""Morphs of many frames: each takes 3 MB at 1024 px, and a fraction of a second of the device."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from service.errors import OverloadedError


class AnimationLimit:
    """Bound the requests for many frames: some are made at once, as many more may wait.

    Args:
        at_once: How many are made at once.
    """

    def __init__(self, at_once: int) -> None:
        self.turn = anyio.Semaphore(at_once)
        self._most = 2 * at_once
        self._inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a place for a request, which then awaits its `turn`.

        Raises:
            OverloadedError: If all places are taken.
        """
        if self._inside >= self._most:
            raise OverloadedError(
                f"morphs of many frames must be under {self._most}, got {self._inside}"
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
