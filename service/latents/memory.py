"""Latent ids: latents kept for a while under opaque random names, within bounds.

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

from model_core.latents.latent import Detail, Latent
from model_core.shapes import Ws
from service.errors import UnknownLatentError

Key = tuple[str, str]
"""Owner and latent id."""

CODES_AT_ONCE = 256  # 9 MB of StyleGAN's


class LatentStore(Protocol):
    """Keeps codes under ids that it makes."""

    @property
    def size(self) -> int:
        """Number of latents kept."""
        ...

    async def put(self, latent: Latent, owner: str) -> str:
        """Keep a caller's latent, answer its id."""
        ...

    async def get(self, latent_id: str, owner: str) -> Latent:
        """Look a caller's latent up; raises UnknownLatentError."""
        ...


class MemoryLatentStore:
    """A bounded store in memory: the least recently used goes first, and all go with age.

    Codes lie side by side, each at a place that is used again. As blocks of their own, which live
    long, they would split what images leave free, and so lose several times their own size.

    Details are thirty times as large as codes, so there are fewer of them: the least recently used
    latent that has one goes when there are too many.

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
        """Number of latents kept, those past their time included until the next call."""
        return len(self._kept)

    async def put(self, latent: Latent, owner: str) -> str:
        """Keep a caller's latent, answer its id: 128 random bits."""
        latent_id = secrets.token_urlsafe(16)
        if not self._free:
            self._free.extend(torch.empty(CODES_AT_ONCE, *latent.ws.shape).unbind())
        kept = Latent(self._free.pop().copy_(latent.ws), _copy(latent.detail))
        self._keep((owner, latent_id), kept)
        self._prune()
        return latent_id

    async def get(self, latent_id: str, owner: str) -> Latent:
        """Look a caller's latent up, which renews its time.

        Raises:
            UnknownLatentError: If the id is not, or no longer, one of the caller's.
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
        return Latent(latent.ws.clone(), _copy(latent.detail))

    def _keep(self, key: Key, latent: Latent) -> None:
        self._kept[key] = (self._clock(), latent)
        if latent.detail is not None:
            self._detailed[key] = None

    def _drop(self, key: Key) -> Latent:
        self._detailed.pop(key, None)
        return self._kept.pop(key)[1]

    def _prune(self) -> None:
        """Drop what is too old or too much; the oldest use comes first in the order."""
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
