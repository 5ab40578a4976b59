"""Worker processes that read photos and find their faces, while another one uses the device.

Imports no torch: a worker imports this module when it starts.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from model_core.batch.preparation import Look, PreparedPhoto, load_aligner, prepare
from model_core.errors import InvalidInputError

AHEAD = 4  # photos a worker may be ahead of the device, which bounds memory
AHEAD_WHOLE = 1  # the same for photos that are kept whole
ORPHAN_CHECK_S = 1.0
Place = Path | str
"""Where a photo is: its path, or its place in an object store."""
Prepare = Callable[[Any, str, Look], PreparedPhoto]
"""Reads a photo, given where it is, its name and what to prepare of it."""


class Models(NamedTuple):
    """The files with which faces are found.

    Attributes:
        landmarks: dlib's 68 landmarks.
        second_glance: Detector for photos in which dlib's finds no face; None leaves that out.
    """

    landmarks: Path
    second_glance: Path | None = None


class PhotoWorkers:
    """Processes that prepare photos; leave the context to end them.

    Attributes:
        models: With which they find faces.

    Args:
        count: Number of processes.
        models: As in the attributes.
        read: How they read a photo, from elsewhere than a disk; pickled.

    Raises:
        InvalidInputError: If the count is below 1.
    """

    def __init__(self, count: int, models: Models, read: Prepare | None = None) -> None:
        if count < 1:
            raise InvalidInputError(f"workers must be 1 or more, got {count}")
        self._count, self.models = count, models
        self._prepare: Prepare = read or prepare
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "PhotoWorkers":
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop()

    def start(self) -> None:
        """Start the processes, which load their models while the caller does something else."""
        for _ in range(self._count):
            self._running().submit(_ready)

    def prepare(self, photos: Sequence[tuple[Place, str]], look: Look) -> Iterator[PreparedPhoto]:
        """Prepare photos, a bounded number ahead; yield them in order.

        A photo that ends its process, for lack of memory say, is found by preparing those under way
        one by one, and gets that as its reason.

        Args:
            photos: Where they are, and their names.
            look: What to prepare.
        """
        ahead = 1 + self._count * (AHEAD_WHOLE if look.whole else AHEAD)
        left = deque(photos)
        waiting: deque[tuple[tuple[Place, str], Future[PreparedPhoto]]] = deque()
        try:
            while left or waiting:
                try:
                    while left and len(waiting) < ahead:
                        waiting.append((left[0], self._submit(left[0], look)))
                        left.popleft()
                    prepared = waiting[0][1].result()
                except BrokenProcessPool:
                    self._stop()
                    for photo, _ in waiting:
                        yield self._prepare_alone(photo, look)
                    waiting.clear()
                    continue
                waiting.popleft()
                yield prepared
        finally:
            for _, future in waiting:
                future.cancel()

    def _submit(self, photo: tuple[Place, str], look: Look) -> Future[PreparedPhoto]:
        return self._running().submit(self._prepare, *photo, look)

    def _prepare_alone(self, photo: tuple[Place, str], look: Look) -> PreparedPhoto:
        """Prepare one photo in a process of its own, which may end."""
        with _pool(1, self.models) as pool:
            try:
                return pool.submit(self._prepare, *photo, look).result()
            except BrokenProcessPool:
                return PreparedPhoto(photo[1], [], "the process that read it ended: out of memory?")

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = _pool(self._count, self.models)
        return self._pool

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _pool(workers: int, models: Models) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, _begin, (*models, os.getpid()))


def _begin(landmark_model: Path, second_glance: Path | None, parent: int) -> None:
    """Set up a worker: load its aligner, leave Ctrl-C to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    load_aligner(landmark_model, second_glance)


def _end_with(parent: int) -> None:
    """Wait until the parent has ended, then end this process.

    The pool would wait for work for ever: its workers hold the writing end of their queue too.
    """
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(1)


def _ready() -> None:
    """Do nothing: a worker that answers has started."""
