"""Draw batches of training photographs; each photo and its mirror image has its own cache slot."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from model_core.errors import ImageRejectedError, InvalidInputError
from model_core.generators.sampling import seeded
from model_core.training.data.photos import Photos

AHEAD = 8
"""Number of steps to read ahead, so that a GPU does not wait for photos."""

TRIES = 100
"""How many photos to try before giving up when photos cannot be read."""

READERS = "photos"
"""Name prefix of the reader threads."""


@dataclass(frozen=True, slots=True)
class PhotoBatch:
    """The photos of one step.

    Attributes:
        img: Images of 256 px, flipped where the draw says so.
        slots: Slots of their codes in the shard's cache.
    """

    img: UInt8[Tensor, "batch 3 size size"]
    slots: Int[Tensor, " batch"]


class PhotoStream:
    """One shard of the training photos; the digest of a photo's file decides its shard.

    Leaving the context stops the reader threads; drawing afterwards is an error.

    Args:
        folders: Photos by folder; duplicates count once.
        weights: How often each folder is drawn from, relative to the others.
        shard: Index of this shard.
        shards: Number of shards.
        seed: Seed of the draws.
        steps: Steps of the run; nothing is read ahead past the last one.
        report: Receives a line about each unreadable photo, which another one replaces.

    Raises:
        InvalidInputError: If folders and weights differ in number, or the shard has no photo.
    """

    def __init__(
        self,
        folders: Sequence[Photos],
        weights: Sequence[float],
        shard: int,
        shards: int,
        seed: int,
        steps: int,
        report: Callable[[str], object] = lambda _line: None,
    ):
        if len(folders) != len(weights):
            raise InvalidInputError(
                f"photo_weights must have one number per folder, {len(folders)}, got {len(weights)}"
            )
        self._shard, self._seed, self._steps = shard, seed, steps
        self._report, self._unreadable, self._lock = report, set[int](), threading.Lock()
        self._files, odds = [], []
        digests: dict[str, None] = {}
        for photos, weight in zip(folders, weights, strict=True):
            mine = []
            for file, digest in zip(photos.files, photos.digests, strict=True):
                if int(digest[:8], 16) % shards == shard and digest not in digests:
                    mine.append(file)
                    digests[digest] = None
            self._files += mine
            odds += [weight / max(1, len(mine))] * len(mine)
        if not self._files:
            raise InvalidInputError(f"shard {shard} of {shards} must have photos, got none")
        self._digests = list(digests)
        self._photos = Photos(self._files)
        self._odds = torch.tensor(odds)
        self._readers = ThreadPoolExecutor(min(AHEAD, os.cpu_count() or 1), READERS)
        self._coming: dict[tuple[int, int], Future[PhotoBatch]] = {}

    def __enter__(self) -> "PhotoStream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._readers.shutdown(cancel_futures=True)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def keys(self) -> list[str]:
        """Key of each slot: two per photo, as it is and flipped."""
        return [f"{digest}/{side}" for digest in self._digests for side in ("plain", "flipped")]

    def draw(self, step: int, count: int) -> PhotoBatch:
        """Draw photos with replacement; the draw depends only on the step.

        Photos of the following steps are read in the background.
        """
        wanted = [(later, count) for later in range(step, min(step + AHEAD, self._steps))]
        self._coming = {
            key: self._coming.get(key) or self._readers.submit(self._draw, *key) for key in wanted
        }
        return self._coming.pop(wanted[0]).result()

    def _draw(self, step: int, count: int) -> PhotoBatch:
        random = seeded(self._seed, f"photos-{self._shard}", step)
        index = torch.multinomial(self._odds, count, replacement=True, generator=random)
        flipped = torch.rand(count, generator=random) < 0.5
        img = torch.stack([self._read(index, place, random) for place in range(count)])
        img = torch.where(flipped[:, None, None, None], img.flip(-1), img)
        return PhotoBatch(img, 2 * index + flipped.long())

    def _read(
        self, index: Int[Tensor, " batch"], place: int, random: torch.Generator
    ) -> UInt8[Tensor, "3 size size"]:
        """Read one photo of a batch; report an unreadable one once and draw another."""
        for _ in range(TRIES):
            chosen = int(index[place])
            try:
                return self._photos.read([chosen])[0]
            except ImageRejectedError as err:
                with self._lock:
                    if chosen not in self._unreadable:
                        self._unreadable.add(chosen)
                        self._report(f"skipped: {err}")
                index[place] = torch.multinomial(self._odds, 1, generator=random)
                failure = err
        raise InvalidInputError(
            f"photos must be readable, got {TRIES} unreadable ones in a row, the last: {failure}"
        )
