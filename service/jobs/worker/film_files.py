"""The files of one claim of a film: its source, locked, and what earlier claims have finished."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from model_core.errors import FilmTooLargeError, InvalidInputError
from model_core.films.editor import FilmEditor
from model_core.films.joining import check_target
from model_core.films.limits import FilmLimits
from model_core.films.reading import open_film
from model_core.films.work import LOCK, SETTINGS
from service.jobs.film_folder import KEEP_FREE_BYTES, MEDIA, SOURCE, queue_folder, sum_sizes
from service.jobs.film_sweep import in_use
from service.jobs.worker.held import BadJobError

WORK = "work-"
PARTS = ("seen-*.npz", "segment-*.nut")


@dataclass(frozen=True, slots=True)
class FilmFiles:
    """Where one claim of a film reads and writes.

    Attributes:
        folder: The job's.
        fence: Number of the claim.
    """

    folder: Path
    fence: int

    @property
    def source(self) -> Path:
        """The film."""
        return self.folder / SOURCE

    @property
    def work(self) -> Path:
        """Folder of finished parts."""
        return self.folder / f"{WORK}{self.fence}"

    @property
    def parts(self) -> int:
        """Number of finished parts."""
        return sum(len(list(self.work.glob(pattern))) for pattern in PARTS)

    def check_room(self, max_bytes: int) -> None:
        """Refuse to fill the disk: edited frames may take many times the bytes of the film's own.

        Raises:
            OSError: If too little of the disk is free (ENOSPC).
            FilmTooLargeError: If the film's files have more bytes than all films may.
        """
        if shutil.disk_usage(self.folder).free < KEEP_FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
        used = sum_sizes(self.folder)[0]
        if used > max_bytes:
            raise FilmTooLargeError(
                f"the film's files must have at most {max_bytes} bytes while it is edited, got "
                f"{used}: send it in shorter parts"
            )

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the sweep away while the block runs.

        Raises:
            BadJobError: If the film is not there.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(in_use(self.source))
            except FileNotFoundError as err:
                raise BadJobError(
                    "The worker does not find the film: its WPLUS_FILMS must be the service's "
                    "folder."
                ) from err
            yield

    def target(self, limits: FilmLimits) -> Path:
        """Choose the result's path, by the sound that it has to hold.

        Raises:
            FilmRejectedError: If the film cannot be read.
            InvalidInputError: If no result can hold its sound.
        """
        with open_film(self.source, limits) as film:
            *paths, last = (self.folder / f"film-{self.fence}{suffix}" for suffix in MEDIA)
            for path in paths:
                with suppress(InvalidInputError):
                    check_target(film, path)
                    return path
            check_target(film, last)
        return last

    def inherit(self, editor: FilmEditor) -> None:
        """Take over what earlier claims have finished, unless they had other networks.

        The folder is renamed, so that a worker that has lost the job fails where it would write.
        """
        # A worker that has lost the job must not take the folder of whoever has it.
        found = (each for each in self.folder.glob(f"{WORK}*") if _fence_of(each) < self.fence)
        earlier = sorted(found, key=_fence_of)
        for stale in earlier[:-1]:
            shutil.rmtree(stale, ignore_errors=True)
        if not earlier:
            return
        if not _fits(earlier[-1], editor.settings()):
            shutil.rmtree(earlier[-1], ignore_errors=True)
            return
        earlier[-1].rename(self.work)
        (self.work / LOCK).unlink(missing_ok=True)  # a worker that hangs would hold it


def job_folder(root: Path, queue: str, job_id: str) -> Path:
    """Find a job's folder, as the service names it."""
    return queue_folder(root, queue) / job_id


def _fits(work: Path, settings: Mapping[str, object]) -> bool:
    """Whether a folder of parts was made with these settings; one that has none yet fits."""
    try:
        stored = json.loads((work / SETTINGS).read_text("utf-8"))
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return all(stored.get(name) == value for name, value in settings.items())


def _fence_of(work: Path) -> int:
    number = work.name.removeprefix(WORK)
    return int(number) if number.isdecimal() else -1
