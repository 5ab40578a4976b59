"""Films on disk, in a folder that the service and its workers share.

    <folder>/queue-<id>/<job>/source      the upload, until the job has ended
    <folder>/queue-<id>/<job>/work-N/     what claim N of the job has finished
    <folder>/queue-<id>/<job>/film-N.mp4  what claim N has made
    <folder>/queue-<id>/alive             touched while a service serves the queue

A lock on `source` is held while it arrives, until its job is in the queue, and while a worker reads
it; the sweep takes nothing that is locked. The queue's id keeps the films of two queues apart. All
functions block.
"""

import re
import shutil
import threading
import time
from pathlib import Path

from model_core.live_folder import files_below
from service.errors import FilmsFullError

SOURCE = "source"
MEDIA = {".mp4": "video/mp4", ".mov": "video/quicktime", ".mkv": "video/x-matroska"}
"""Media types of results by suffix; the first that can hold a film's sound is taken."""
QUEUE = re.compile(r"queue-[0-9a-f]{16}")
JOB = re.compile(r"[A-Za-z0-9_-]{22}")
COPIES = 3  # of a film being edited: itself, its finished segments, its result
KEEP_FREE_BYTES = 500_000_000
ALIVE = "alive"


class FilmFolder:
    """The films of one queue.

    Args:
        root: The folder; that of the queue is made in it.
        queue: Id of the queue.
        max_film_bytes: Largest film.
        max_bytes: Most bytes of all films, those being edited counted as three copies.

    Attributes:
        queue: Id of the queue.
        root: The folder that queues share.
        folder: That of the queue.
        max_film_bytes: Largest film.
    """

    def __init__(self, root: Path, queue: str, max_film_bytes: int, max_bytes: int) -> None:
        self.queue = queue
        self.root, self.folder = root, queue_folder(root, queue)
        self.max_film_bytes, self._max_bytes = max_film_bytes, max_bytes
        self._expected: dict[str, int] = {}
        self._reserving = threading.Lock()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def of_job(self, job_id: str) -> Path:
        """Path of a job's folder."""
        return self.folder / job_id

    def result(self, job_id: str, name: str) -> Path:
        """Path of a job's result."""
        return self.folder / job_id / Path(name).name

    def reserve(self, job_id: str, announced: int | None) -> None:
        """Reserve room for a film that is about to arrive.

        Args:
            job_id: The job that it will be.
            announced: Bytes of the request's body; None if not known.

        Raises:
            FilmsFullError: If there is no room for it.
        """
        expected = self.max_film_bytes if announced is None else announced
        expected = min(expected, self.max_film_bytes)
        with self._reserving:  # each upload has a thread
            used = self.used_bytes(planned=True) + COPIES * sum(self._expected.values())
            if used + COPIES * expected > self._max_bytes:
                raise FilmsFullError(
                    f"films must have at most {self._max_bytes} bytes in all, got {used} before "
                    f"this one, which needs {COPIES * expected}"
                )
            self.check_room(COPIES * expected)
            self._expected[job_id] = expected

    def unreserve(self, job_id: str) -> None:
        """Stop reserving room for a film: it is on the disk, or has been given up."""
        self._expected.pop(job_id, None)

    def check_room(self, needed: int) -> None:
        """Check the disk.

        Raises:
            FilmsFullError: If less is free than needed.
        """
        free = shutil.disk_usage(self.folder).free
        if free < needed + KEEP_FREE_BYTES:
            raise FilmsFullError(
                f"the disk of {self.folder} must have {needed + KEEP_FREE_BYTES} bytes free, "
                f"got {free}"
            )

    def used_bytes(self, planned: bool = False) -> int:
        """Count the bytes of the films, or what those being edited are going to need.

        Args:
            planned: Count a film that is not finished as three copies of its source. Uploads that
                this process receives are left out.
        """
        total = 0
        for folder in folders_in(self.folder, JOB):
            if planned and folder.name in self._expected:
                continue
            size, source = sum_sizes(folder)
            total += max(size, COPIES * source) if planned else size
        return total

    def remove(self, job_id: str) -> None:
        """Delete the files of a job."""
        shutil.rmtree(self.folder / job_id, ignore_errors=True)

    def show_alive(self) -> None:
        """Tell services of other queues, which share the root, that this queue is not gone."""
        (self.folder / ALIVE).touch(mode=0o600)


def queue_folder(root: Path, queue: str) -> Path:
    """Path of a queue's folder."""
    return root / f"queue-{Path(queue).name}"


def folders_in(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """List the folders in a folder whose names are ours; none if it does not exist."""
    try:
        return [each for each in folder.iterdir() if names.fullmatch(each.name) and each.is_dir()]
    except FileNotFoundError:
        return []


def sum_sizes(folder: Path) -> tuple[int, int]:
    """Return the bytes of everything in a job's folder, and of its source."""
    files = list(files_below(folder))
    total = sum(size for _, size in files)
    return total, sum(size for file, size in files if file.name == SOURCE)


def age_s(path: Path) -> float:
    """Return the seconds since a file or folder was changed; 0 if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
