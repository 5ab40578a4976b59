"""Latent ids in Redis: known to every process, and after a restart.

A synchronous request must not fail because Redis is down: while it does not answer, codes are kept
in this process, where only this process finds them.
"""

import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import redis
import redis.asyncio
from prometheus_client import Counter

from model_core.latents.latent import Latent
from service.errors import LatentsUnavailableError, UnknownLatentError
from service.latents.memory import LatentStore
from service.redis_keys import TAG, latent_key
from service.wire.codes import GeneratorId, read_latent, write_safetensors

INDEX = f"{TAG}:latents"
DETAILED = f"{TAG}:latents:detailed"
REST_S = 5.0


class RedisLatentStore:
    """A bounded store in Redis: the least recently used latent goes first, and all expire.

    Codes are stored as safetensors that name their generator, so that a process with another one
    refuses them.

    Args:
        client: Redis or Valkey.
        own: Keeps the codes while Redis does not answer.
        generator: The generator in use.
        capacity: Most codes kept.
        ttl_s: Seconds that a code is kept after its last use.
        errors: Counts failed calls, by operation.
        detail_capacity: Most latents with a detail kept.
        rest_s: Seconds to leave Redis alone after a failed call, because each may cost seconds.
    """

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        own: LatentStore,
        generator: Callable[[], GeneratorId],
        capacity: int,
        ttl_s: float,
        errors: Counter,
        detail_capacity: int = 256,
        rest_s: float = REST_S,
    ) -> None:
        self._client, self._own, self._generator = client, own, generator
        self._capacity, self._ttl_s, self._errors = capacity, ttl_s, errors
        self._detail_capacity = detail_capacity
        self._rest_s, self._rests_until_s = rest_s, 0.0
        self._size = 0

    @property
    def size(self) -> int:
        """Number of codes kept, as of the last one stored."""
        return self._size + self._own.size

    async def put(self, latent: Latent, owner: str) -> str:
        """Store a caller's latent; return its id: 128 random bits."""
        latent_id = secrets.token_urlsafe(16)
        key, data = latent_key(owner, latent_id), write_safetensors(latent, self._generator())
        now_s = time.time()
        pipeline = self._client.pipeline()
        pipeline.set(key, data, px=self._ttl_ms)
        pipeline.zadd(INDEX, {key: now_s})
        pipeline.zremrangebyscore(INDEX, "-inf", now_s - self._ttl_s)
        if latent.detail is not None:
            pipeline.zadd(DETAILED, {key: now_s})
        pipeline.zremrangebyscore(DETAILED, "-inf", now_s - self._ttl_s)
        pipeline.zcard(INDEX)
        pipeline.zcard(DETAILED)
        try:
            *_, size, detailed = await self._answer("latent_put", pipeline.execute)
            await self._trim(size, detailed)
        except LatentsUnavailableError:
            return await self._own.put(latent, owner)
        return latent_id

    async def get(self, latent_id: str, owner: str, with_detail: bool = True) -> Latent:
        """Look up a caller's latent and renew its time.

        Raises:
            UnknownLatentError: If the id is unknown to the caller or has expired.
            LatentsUnavailableError: If only Redis can tell, and it does not answer.
            ModelMismatchError: If the code belongs to another generator.
        """
        key = latent_key(owner, latent_id)
        try:
            data = await self._answer(
                "latent_get", lambda: self._client.getex(key, px=self._ttl_ms)
            )
            if data is not None:
                for index in (INDEX, DETAILED):
                    await self._answer("latent_get", partial(self._renew, index, key))
        except LatentsUnavailableError as unavailable:
            try:
                return await self._own.get(latent_id, owner, with_detail)
            except UnknownLatentError:
                raise unavailable from None
        if data is None:
            return await self._own.get(latent_id, owner, with_detail)
        return read_latent(data, self._generator(), with_detail)

    @property
    def _ttl_ms(self) -> int:
        return max(int(1000 * self._ttl_s), 1)

    def _renew(self, index: str, key: str) -> Awaitable[Any] | Any:
        return self._client.zadd(index, {key: time.time()}, xx=True)

    async def _trim(self, size: int, detailed: int) -> None:
        self._size = min(size, self._capacity)
        for index, surplus in (
            (DETAILED, detailed - self._detail_capacity),
            (INDEX, size - self._capacity),
        ):
            if surplus > 0:
                await self._drop_oldest(index, surplus)

    async def _drop_oldest(self, index: str, count: int) -> None:
        oldest = await self._answer("latent_put", lambda: self._client.zpopmin(index, count))
        keys = [key for key, _ in oldest]
        pipeline = self._client.pipeline()
        pipeline.delete(*keys)
        pipeline.zrem(INDEX, *keys)
        pipeline.zrem(DETAILED, *keys)
        await self._answer("latent_put", pipeline.execute)

    async def _answer(self, operation: str, call: Callable[[], Awaitable[Any] | Any]) -> Any:
        if time.monotonic() < self._rests_until_s:
            raise LatentsUnavailableError("The latent ids' Redis does not answer.")
        try:
            return await call()
        except redis.RedisError as err:
            self._errors.labels(op=operation).inc()
            self._rests_until_s = time.monotonic() + self._rest_s
            raise LatentsUnavailableError(f"The latent ids' Redis does not answer: {err}") from err
