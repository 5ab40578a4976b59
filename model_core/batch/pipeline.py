"""Two steps for each item: the second runs while the next items take their first."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
Halfway = TypeVar("Halfway")
Result = TypeVar("Result")

AHEAD = 2  # items that wait for their second step, which bounds memory


def in_two_steps(
    items: Iterable[T],
    first: Callable[[T], Halfway],
    second: Callable[[T, Halfway], Result],
) -> Iterator[tuple[T, Result]]:
    """Run the first step on this thread and the second on another; yield results in order.

    Args:
        items: The items.
        first: The first step.
        second: Takes the item and what the first step returned.
    """
    waiting: deque[tuple[T, Future[Result]]] = deque()
    with ThreadPoolExecutor(1, "second-step") as pool:
        for item in items:
            waiting.append((item, pool.submit(second, item, first(item))))
            while len(waiting) > AHEAD:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
