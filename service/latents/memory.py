"""Latent ids: codes kept for a while under opaque random names, within bounds.

An id belongs to the caller whose code it names; to others it is unknown. In this process only, so
an id is not known to other processes or after a restart; the asynchronous interface is that of a
shared store.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import torch

from model_core.shapes import Ws
from service.errors import UnknownLatentError

CODES_AT_ONCE = 256  # 9 MB of StyleGAN's


class LatentStore(Protocol):
    """Keeps codes under ids that it makes."""

    @property
    def size(self) -> int:
        """Number of codes kept."""
        ...

    async def put(self, ws: Ws, owner: str) -> str:
        """Keep a caller's code, answer its id."""
        ...

    async def get(self, latent_id: str, owner: str) -> Ws:
        """Look a caller's code up; raises UnknownLatentError."""
        ...


class MemoryLatentStore:
    """A bounded store in memory: the least recently used goes first, and all go with age.

    Codes lie side by side, each at a place that is used again. As blocks of their own, which live
    long, they would split what images leave free, and so lose several times their own size.

    Args:
        capacity: Most codes kept.
        ttl_s: Seconds that a code is kept after its last use.
        clock: Monotonic seconds.
    """

    def __init__(
        self, capacity: int, ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity = capacity
        self._ttl_s = ttl_s
        self._clock = clock
        self._codes: OrderedDict[tuple[str, str], tuple[float, Ws]] = OrderedDict()
        self._free: list[Ws] = []

    @property
    def size(self) -> int:
        """Number of codes kept, those past their time included until the next call."""
        return len(self._codes)

    async def put(self, ws: Ws, owner: str) -> str:
        """Keep a caller's code, answer its id: 128 random bits."""
        latent_id = secrets.token_urlsafe(16)
        if not self._free:
            self._free.extend(torch.empty(CODES_AT_ONCE, *ws.shape).unbind())
        self._codes[owner, latent_id] = (self._clock(), self._free.pop().copy_(ws))
        self._prune()
        return latent_id

    async def get(self, latent_id: str, owner: str) -> Ws:
        """Look a caller's code up, which renews its time.

        Raises:
            UnknownLatentError: If the id is not, or no longer, one of the caller's.
        """
        self._prune()
        if (owner, latent_id) not in self._codes:
            raise UnknownLatentError(
                "latent_id must be one handed out by this service within "
                f"{self._ttl_s:g} s of its last use, got an unknown one"
            )
        _, ws = self._codes.pop((owner, latent_id))
        self._codes[owner, latent_id] = (self._clock(), ws)
        return ws.clone()

    def _prune(self) -> None:
        """Drop what is too old or too much; the oldest use comes first in the order."""
        oldest_s = self._clock() - self._ttl_s
        while self._codes:
            used_s, _ = next(iter(self._codes.values()))
            if len(self._codes) <= self._capacity and used_s >= oldest_s:
                return
            _, (_, ws) = self._codes.popitem(last=False)
            self._free.append(ws)
