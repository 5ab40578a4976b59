"""A film on its way to disk: bounded, hashed, locked, and deleted unless it becomes a job's."""

import contextlib
import errno
import fcntl
import hashlib

from service.errors import FilmsFullError, TooLargeError
from service.jobs.film_folder import SOURCE, FilmFolder

LOOK_BYTES = 16_000_000  # written between two looks at the disk


class Upload:
    """A film that is arriving; `close` deletes it unless `keep` has left it to a job.

    Args:
        films: Where it goes.
        job_id: The job that it will be.
        announced: Bytes of the request's body; None if not known.

    Attributes:
        path: Where it is written.
        size: Bytes written.

    Raises:
        FilmsFullError: If there is no room for it.
    """

    def __init__(self, films: FilmFolder, job_id: str, announced: int | None) -> None:
        self._films, self._job_id = films, job_id
        self._kept = False
        self._digest = hashlib.sha256()
        self._looked, self.size = 0, 0
        self.path = films.of_job(job_id) / SOURCE
        films.reserve(job_id, announced)
        try:
            self.path.parent.mkdir(mode=0o700)
            self._file = self.path.open("xb")
        except OSError as err:
            films.unreserve(job_id)
            raise _as_full(err) from err
        with contextlib.suppress(OSError):  # a file system without locks: see film_sweep
            fcntl.flock(self._file, fcntl.LOCK_EX)

    @property
    def sha256(self) -> str:
        """SHA-256 of what has been written, hexadecimal."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """Write the next bytes.

        Raises:
            TooLargeError: If there are too many.
            FilmsFullError: If the disk is full.
        """
        self.size += len(data)
        if self.size > self._films.max_film_bytes:
            most = self._films.max_film_bytes
            raise TooLargeError(f"film must have at most {most} bytes, got {self.size} or more")
        if self.size - self._looked >= LOOK_BYTES:
            self._films.check_room(0)
            self._looked = self.size
        try:
            self._file.write(data)
            self._digest.update(data)
        except OSError as err:
            raise _as_full(err) from err
        return len(data)

    def seek(self, offset: int) -> int:
        """Write everything out: what a form's reader does with a part that has ended."""
        try:
            self._file.flush()
        except OSError as err:
            raise _as_full(err) from err
        return offset

    def keep(self) -> None:
        """Leave the film to its job, or to the sweep."""
        self._kept = True

    def drop(self) -> None:
        """Delete the film on closing after all: it has no job."""
        self._kept = False

    def close(self) -> None:
        """Unlock the film; delete it unless it has a job."""
        if not self._kept:
            self._films.remove(self._job_id)
        self._films.unreserve(self._job_id)
        with contextlib.suppress(OSError):
            self._file.close()


def _as_full(err: OSError) -> Exception:
    full = err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return FilmsFullError(f"the disk for films is full: {err}") if full else err
