"""Processes that read photos and crop their faces, ahead of the process that owns the device."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any

from model_core.batch.preparation import PreparedPhoto, Which, load_aligner

AHEAD = 4  # photos a worker may be ahead of the device, which bounds memory
ORPHAN_CHECK_S = 1.0
Models = tuple[Path, Path | None]
"""The landmarks' file, and the second detector's."""
Place = Path | str
"""Where a photo is: its path, or its key in an object store."""


class PhotoPool:
    """Prepares photos in worker processes, which are kept from one call to the next.

    Args:
        models: What the workers find faces with.
        which: All faces of a photo, or its largest.
        workers: Number of processes.
        prepare: Reads one photo, given where it is, its name and `which`; pickled.
    """

    def __init__(
        self,
        models: Models,
        which: Which,
        workers: int,
        prepare: Callable[[Any, str, Which], PreparedPhoto],
    ):
        self._models, self._which, self._workers = models, which, workers
        self._prepare = prepare
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "PhotoPool":
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop()

    def prepared(self, photos: Iterable[tuple[Place, str]]) -> Iterator[PreparedPhoto]:
        """Prepare photos, a bounded number ahead; yield them in order.

        A photo that ends its process, for lack of memory say, is found by preparing those under way
        one by one, and gets that as its reason.

        Args:
            photos: Where each photo is, and its name.
        """
        left = iter(photos)
        waiting: deque[tuple[tuple[Place, str], Future[PreparedPhoto]]] = deque()
        taken: list[tuple[Place, str]] = []
        try:
            while True:
                try:
                    taken += islice(left, 1 + AHEAD * self._workers - len(waiting) - len(taken))
                    while taken:
                        waiting.append((taken[0], self._submit(taken[0])))
                        del taken[0]
                    if not waiting:
                        return
                    photo = waiting[0][1].result()
                except BrokenProcessPool:
                    self._stop()
                    for one, _ in waiting:
                        yield self._alone(one)
                    waiting.clear()
                else:
                    yield photo
                    waiting.popleft()
        finally:
            for _, future in waiting:
                future.cancel()

    def _submit(self, photo: tuple[Place, str]) -> Future[PreparedPhoto]:
        if self._pool is None:
            self._pool = _processes(self._workers, self._models)
        return self._pool.submit(self._prepare, *photo, self._which)

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _alone(self, photo: tuple[Place, str]) -> PreparedPhoto:
        """Prepare one photo in a process of its own, which may end."""
        with _processes(1, self._models) as pool:
            try:
                return pool.submit(self._prepare, *photo, self._which).result()
            except BrokenProcessPool:
                return PreparedPhoto(photo[1], [], "the process that read it ended: out of memory?")


def _processes(workers: int, models: Models) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, _begin, (*models, os.getpid()))


def _begin(landmark_model: Path, second_glance: Path | None, parent: int) -> None:
    """Set up a worker: load its aligner, leave Ctrl-C to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    load_aligner(landmark_model, second_glance)


def _end_with(parent: int) -> None:
    """Wait until the parent has ended, then end this process.

    The worker itself would wait for work for ever: it holds the writing end of the queue too.
    """
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(1)
