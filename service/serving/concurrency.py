"""Awaiting several things at once, and ending what may not want to end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import anyio

T = TypeVar("T")

logger = logging.getLogger("service.serving.concurrency")


async def gather(*calls: Callable[[], Awaitable[T]]) -> list[T]:
    """Await all calls at once; the first failure cancels the others and is raised as it is."""
    results: dict[int, T] = {}

    async def run(index: int, call: Callable[[], Awaitable[T]]) -> None:
        results[index] = await call()

    try:
        async with anyio.create_task_group() as group:
            for index, call in enumerate(calls):
                group.start_soon(run, index, call)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [results[index] for index in range(len(calls))]


def is_cancelled() -> bool:
    """Whether the present task has been cancelled, by a cancellation that somebody swallowed too.

    Clients of redis-py may swallow one, so a loop that calls them has to look.
    Source: github.com/redis/redis-py/issues/2551
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def cancel_all(tasks: "Iterable[asyncio.Task[Any]]", limit_s: float) -> None:
    """Cancel tasks and wait until they have ended; log those that fail or go on regardless."""
    wanted = set(tasks)
    for task in wanted:
        task.cancel()
    if not wanted:
        return
    done, stuck = await asyncio.wait(wanted, timeout=limit_s)
    for task in stuck:
        logger.warning("%s ignores its cancellation; going on without it", task.get_coro())
    for task in done:
        if not task.cancelled() and (failure := task.exception()) is not None:
            logger.warning("%s failed: %r", task.get_coro(), failure)


async def within(limit_s: float, work: Coroutine[Any, Any, object], name: str) -> None:
    """Await a part of stopping, for so long at the most; log it where it fails or takes longer.

    Args:
        limit_s: Seconds that it may take.
        work: What is awaited.
        name: What it is, for the log.
    """
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=limit_s)
    if not done:
        logger.warning("%s takes more than %g s; going on without it", name, limit_s)
        task.cancel()
    elif not task.cancelled() and (failure := task.exception()) is not None:
        logger.warning("%s failed: %r", name, failure)
