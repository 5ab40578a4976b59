"""A micro-batcher: whatever is queued while the device is busy becomes the next batch.

It uses asyncio only, and knows neither tensors nor HTTP. Its guarantees:

1. The queue is bounded; a full one refuses at once.
2. Every entry has a future and a deadline of its own.
3. Entries whose caller has left, or whose deadline has passed, are never run.
4. A failure affects its own batch only; a batch that ran out of memory is rerun item by item.
5. A loop that has died reports it (`alive`), fails its entries and refuses new ones.
6. A run must return as many outputs as it was given inputs, else its batch fails.
7. `close` drains, then fails the rest.
8. A batch gives the answers that its items would get singly (the run's part of the contract).

No delay is ever added to let a batch grow.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import (
    BatchContractError,
    BatcherClosedError,
    DeadlineExceededError,
    QueueFullError,
)

In = TypeVar("In")
Out = TypeVar("Out")

logger = logging.getLogger("service.serving.batcher")


@dataclass(frozen=True, slots=True)
class Answer(Generic[Out]):
    """One entry's output and what it cost.

    Attributes:
        value: The output.
        queued_s: Seconds between submission and the start of the run.
        ran_s: Seconds of the run that the entry was part of.
        batch_size: Number of entries in that run.
        ended_s: When the run ended, on `time.monotonic`'s scale.
    """

    value: Out
    queued_s: float
    ran_s: float
    batch_size: int
    ended_s: float


@dataclass(eq=False, slots=True)
class _Entry(Generic[In, Out]):
    """A waiting input, with the future that its caller awaits."""

    item: In
    future: "asyncio.Future[Answer[Out]]"
    deadline_s: float | None
    since_s: float


class Batcher(Generic[In, Out]):
    """Collect single calls into batches for one run at a time.

    Args:
        run: Computes a list of outputs from a list of inputs, in order.
        name: Names the batcher in messages.
        max_batch: Largest batch, at least 1; may be changed later.
        max_queue: Most entries that may wait, at least 1.
        memory_errors: What `run` raises when a smaller batch might succeed.
        on_memory_error: Called for each run that ended with one of `memory_errors`.
        on_drop: Called with "cancelled" or "expired" for each entry dropped before a run.
        on_batch: Called with the size of each batch that runs.
        turn: Lock shared by the batchers of one device: a batch leaves the queue only once it holds
            the lock, so that callers can join or leave it up to the moment of the run.
    """

    def __init__(
        self,
        run: Callable[[list[In]], Awaitable[list[Out]]],
        *,
        name: str,
        max_batch: int,
        max_queue: int,
        memory_errors: tuple[type[Exception], ...] = (MemoryError,),
        on_memory_error: Callable[[], None] = lambda: None,
        on_drop: Callable[[str], None] = lambda _reason: None,
        on_batch: Callable[[int], None] = lambda _size: None,
        turn: asyncio.Lock | None = None,
    ) -> None:
        for rule, value in (("max_batch", max_batch), ("max_queue", max_queue)):
            if value < 1:
                raise ValueError(f"{rule} must be at least 1, got {value}")
        self._run = run
        self.name = name
        self.max_batch = max_batch
        self.max_queue = max_queue
        self._memory_errors = memory_errors
        self._on_memory_error = on_memory_error
        self._on_drop = on_drop
        self._on_batch = on_batch
        self._turn = turn or asyncio.Lock()
        self._queue: deque[_Entry[In, Out]] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._open = False
        self._task: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Entries waiting, not counting those in the current run."""
        return len(self._queue)

    @property
    def alive(self) -> bool:
        """Whether the loop runs."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Start serving; needs a running event loop."""
        self._open = True
        self._task = asyncio.get_running_loop().create_task(self._loop(), name=f"batch {self.name}")
        self._task.add_done_callback(self._after_loop)

    async def submit(self, item: In, deadline_s: float | None = None) -> Answer[Out]:
        """Queue an input, then wait for its output.

        Args:
            item: The input.
            deadline_s: Event-loop time by which the answer is needed; None waits forever.

        Raises:
            QueueFullError: At once, if the queue is full.
            BatcherClosedError: If closed or dead; at once, or later if it closes meanwhile.
            DeadlineExceededError: If the deadline passes first.
        """
        if not self._open or not self.alive:
            raise BatcherClosedError(f"The batcher {self.name} is closed.")
        if len(self._queue) >= self.max_queue:
            raise QueueFullError(f"The queue of {self.name} is full: {self.max_queue} wait.")
        future = asyncio.get_running_loop().create_future()
        entry: _Entry[In, Out] = _Entry(item, future, deadline_s, time.monotonic())
        self._queue.append(entry)
        self._wake.set()
        try:
            async with asyncio.timeout_at(deadline_s) as limit:
                return await entry.future
        except TimeoutError:
            if not limit.expired():  # the run's own
                raise
            raise DeadlineExceededError(f"{self.name} did not answer in time") from None
        finally:
            self._leave(entry)

    async def close(self, drain_s: float = 0.0) -> None:
        """Refuse new entries, let those queued finish for `drain_s` seconds, fail the rest."""
        self._open = False
        if self._task is None:
            return
        if self.alive:
            drained = asyncio.ensure_future(self._drained())
            await asyncio.wait(
                {drained, self._task}, timeout=drain_s, return_when=asyncio.FIRST_COMPLETED
            )
            drained.cancel()
        self._task.cancel()
        await asyncio.wait({self._task})

    def _leave(self, entry: _Entry[In, Out]) -> None:
        """Remove an entry whose caller no longer waits, whatever the reason."""
        if not entry.future.cancel() and not entry.future.cancelled():
            entry.future.exception()  # marks it as retrieved, in case the caller has left
        if entry in self._queue:
            self._queue.remove(entry)
            self._on_drop("expired" if self._expired(entry) else "cancelled")

    @staticmethod
    def _expired(entry: _Entry[In, Out]) -> bool:
        now_s = asyncio.get_running_loop().time()
        return entry.deadline_s is not None and now_s >= entry.deadline_s

    async def _drained(self) -> None:
        while self._queue or not self._idle.is_set():
            await self._idle.wait()
            await asyncio.sleep(0)

    async def _loop(self) -> None:
        while True:
            await self._wake.wait()
            self._idle.clear()
            try:
                async with self._turn:
                    await self._run_next()
            finally:
                self._idle.set()

    async def _run_next(self) -> None:
        """Run the next batch and answer it; sleep if there is none."""
        batch = self._take()
        if not batch:
            self._wake.clear()
            return
        try:
            await self._answer(batch)
        finally:
            self._fail(batch, BatcherClosedError(f"batcher {self.name} closed during the run"))

    def _take(self) -> list[_Entry[In, Out]]:
        """Take the next batch from the queue, skipping entries that nobody waits for."""
        batch: list[_Entry[In, Out]] = []
        while self._queue and len(batch) < self.max_batch:
            entry = self._queue.popleft()
            if entry.future.done():
                self._on_drop("cancelled")
            elif self._expired(entry):
                self._on_drop("expired")
                entry.future.set_exception(
                    DeadlineExceededError(f"{self.name} did not start in time")
                )
            else:
                batch.append(entry)
        return batch

    async def _answer(self, batch: list[_Entry[In, Out]]) -> None:
        """Run a batch and deliver its outputs, or its failure, to this batch only."""
        self._on_batch(len(batch))
        started_s = time.monotonic()
        try:
            outputs = await self._run([entry.item for entry in batch])
            if len(outputs) != len(batch):
                raise BatchContractError(
                    f"outputs of {self.name} must number {len(batch)}, got {len(outputs)}"
                )
        except self._memory_errors as err:
            self._on_memory_error()
            if len(batch) == 1:
                self._fail(batch, err)
        except Exception as err:  # whatever the run raises belongs to its callers
            self._fail(batch, err)
        else:
            ended_s = time.monotonic()
            ran_s = ended_s - started_s
            for entry, value in zip(batch, outputs, strict=True):
                if not entry.future.done():
                    queued_s = started_s - entry.since_s
                    answer = Answer(value, queued_s, ran_s, len(batch), ended_s)
                    entry.future.set_result(answer)
        # Only now: inside the except block the error would still hold the failed run's tensors.
        for entry in batch:
            if not entry.future.done():
                await self._answer([entry])

    @staticmethod
    def _fail(batch: list[_Entry[In, Out]], err: Exception) -> None:
        for entry in batch:
            if not entry.future.done():
                entry.future.set_exception(err)

    def _after_loop(self, task: asyncio.Task[None]) -> None:
        """Fail the entries still waiting when the loop ends, by `close` or by a bug."""
        self._open = False
        if not task.cancelled() and (failure := task.exception()) is not None:
            logger.critical("batcher %s died", self.name, exc_info=failure)
        waiting = list(self._queue)
        self._queue.clear()
        self._fail(waiting, BatcherClosedError(f"batcher {self.name} closed before the run"))
