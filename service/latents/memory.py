"""Latent ids: latents kept for a while under opaque random names, within bounds.

An id is known only to the caller it was made for. This store lives in one process: other processes
and later runs do not know its ids; the interface is asynchronous to match that of a
shared store.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import torch

from model_core.latents.latent import Detail, Latent
from model_core.shapes import Ws
from service.errors import UnknownLatentError

Key = tuple[str, str]
"""Owner and latent id."""

CODES_AT_ONCE = 256  # 9 MB of StyleGAN's


class LatentStore(Protocol):
    """Stores codes under ids that it generates."""

    @property
    def size(self) -> int:
        """Number of latents kept."""
        ...

    async def put(self, latent: Latent, owner: str) -> str:
        """Store a caller's latent; return its id."""
        ...

    async def get(self, latent_id: str, owner: str, with_detail: bool = True) -> Latent:
        """Look up a caller's latent; raises UnknownLatentError."""
        ...


class MemoryLatentStore:
    """A bounded store in memory: the least recently used latent goes first, and all expire.

    Codes share one array, whose places are reused. As separate, long-lived blocks they would split
    the memory that images free, and so waste several times their own size.

    Details are thirty times as large as codes, so fewer are kept: the least recently used latent
    that has one is dropped when there are too many.

    Args:
        capacity: Most latents kept.
        ttl_s: Seconds that a latent is kept after its last use.
        clock: Monotonic seconds.
        detail_capacity: Most latents with a detail kept.
    """

    def __init__(
        self,
        capacity: int,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
        detail_capacity: int = 256,
    ) -> None:
        self._capacity, self._detail_capacity = capacity, detail_capacity
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: OrderedDict[Key, tuple[float, Latent]] = OrderedDict()
        self._detailed: OrderedDict[Key, None] = OrderedDict()
        self._free: list[Ws] = []

    @property
    def size(self) -> int:
        """Number of latents kept; expired ones count until the next call."""
        return len(self._kept)

    async def put(self, latent: Latent, owner: str) -> str:
        """Store a caller's latent; return its id: 128 random bits."""
        latent_id = secrets.token_urlsafe(16)
        if not self._free:
            self._free.extend(torch.empty(CODES_AT_ONCE, *latent.ws.shape).unbind())
        kept = Latent(self._free.pop().copy_(latent.ws), _copy(latent.detail))
        self._keep((owner, latent_id), kept)
        self._prune()
        return latent_id

    async def get(self, latent_id: str, owner: str, with_detail: bool = True) -> Latent:
        """Look up a caller's latent and renew its time.

        Raises:
            UnknownLatentError: If the id is unknown to the caller or has expired.
        """
        self._prune()
        key = (owner, latent_id)
        if key not in self._kept:
            raise UnknownLatentError(
                "latent_id must be one handed out by this service within "
                f"{self._ttl_s:g} s of its last use, got an unknown one"
            )
        latent = self._drop(key)
        self._keep(key, latent)
        return Latent(latent.ws.clone(), _copy(latent.detail) if with_detail else None)

    def _keep(self, key: Key, latent: Latent) -> None:
        self._kept[key] = (self._clock(), latent)
        if latent.detail is not None:
            self._detailed[key] = None

    def _drop(self, key: Key) -> Latent:
        self._detailed.pop(key, None)
        return self._kept.pop(key)[1]

    def _prune(self) -> None:
        """Drop what has expired or exceeds the limits; entries are ordered by their last use."""
        while len(self._detailed) > self._detail_capacity:
            self._free.append(self._drop(next(iter(self._detailed))).ws)
        oldest_s = self._clock() - self._ttl_s
        while self._kept:
            key, (used_s, _) = next(iter(self._kept.items()))
            if len(self._kept) <= self._capacity and used_s >= oldest_s:
                return
            self._free.append(self._drop(key).ws)


def _copy(detail: Detail | None) -> Detail | None:
    return None if detail is None else Detail(detail.tensor.clone(), detail.home.clone())
