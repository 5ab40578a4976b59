"""A flag in Redis: synchronous requests are in flight on a device that a worker shares."""

import asyncio
import contextlib
from collections.abc import Callable

import redis
import redis.asyncio

from service.redis_keys import busy_key
from service.serving.concurrency import is_cancelled

LOOK_S = 0.05
LIFE_S = 1.0  # the flag expires if this process dies
RENEW_S = 0.3


async def show_busy(
    client: "redis.asyncio.Redis", device: str, is_busy: Callable[[], bool]
) -> None:
    """Keep the flag set while requests are in flight; runs until cancelled."""
    key, shown_s = busy_key(device), 0.0
    clock = asyncio.get_running_loop().time
    while not is_cancelled():
        await asyncio.sleep(LOOK_S)
        with contextlib.suppress(redis.RedisError):  # without the flag the worker does not yield
            if is_busy() and clock() - shown_s >= RENEW_S:
                await client.set(key, 1, px=int(1000 * LIFE_S))
                shown_s = clock()
            elif shown_s and not is_busy():
                await client.delete(key)
                shown_s = 0.0
