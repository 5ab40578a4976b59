"""Awaiting several things at once, and ending tasks that may refuse to end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import anyio

T = TypeVar("T")

logger = logging.getLogger("service.serving.concurrency")


async def gather(*calls: Callable[[], Awaitable[T]]) -> list[T]:
    """Await all calls at once; the first failure cancels the others and is raised unchanged."""
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
    """Whether the current task has been cancelled, even if something swallowed the cancellation.

    redis-py's clients may swallow one, so a loop that calls them has to check.
    Source: github.com/redis/redis-py/issues/2551
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def cancel_all(tasks: "Iterable[asyncio.Task[Any]]", limit_s: float) -> None:
    """Cancel tasks and wait until they have ended; log those that fail or ignore it."""
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
    """Await one step of the shutdown for a limited time; log it if it fails or takes longer.

    Args:
        limit_s: Seconds that it may take.
        work: The step.
        name: Its name in the log.
    """
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=limit_s)
    if not done:
        logger.warning("%s takes more than %g s; going on without it", name, limit_s)
        task.cancel()
    elif not task.cancelled() and (failure := task.exception()) is not None:
        logger.warning("%s failed: %r", name, failure)
