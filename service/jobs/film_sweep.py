"""Deletes the files of films that no job needs any more, and none that a job is using."""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from service.jobs.film_folder import ALIVE, JOB, QUEUE, SOURCE, FilmFolder, age_s, folders_in

NEW_S = 60.0  # a folder younger than this may not have its lock yet
FOREIGN_S = 7 * 86_400.0  # a queue that no service has served for so long is gone
UNTOUCHED_S = 86_400.0  # where locks do not work, a source this old is nobody's

State = tuple[str | None, str | None]
"""State of a job and the name of its result's file; None where there is none."""


class IdleFolders:
    """Folders that nobody uses at the moment, locked so that no worker begins to.

    Their jobs may still need them: those that wait, and those whose results are kept.

    Args:
        folder: That of a queue.
        min_age_s: Younger ones are left out.

    Attributes:
        job_ids: Their jobs.
    """

    def __init__(self, folder: Path, min_age_s: float | None = None) -> None:
        min_age_s = NEW_S if min_age_s is None else min_age_s
        self._folder = folder
        self._locks: list[BinaryIO] = []
        self.job_ids: list[str] = []
        for each in folders_in(folder, JOB):
            if age_s(each) >= min_age_s and self._is_idle(each / SOURCE):
                self.job_ids.append(each.name)

    def delete_unneeded(self, states: Mapping[str, State]) -> int:
        """Delete what jobs in these states do not need; return how many folders that concerned."""
        count = 0
        for job_id in self.job_ids:
            state, result = states[job_id]
            if state in ("queued", "running", "cancelling"):
                continue
            count += _keep_only(self._folder / job_id, result if state == "succeeded" else None)
        return count

    def close(self) -> None:
        """Unlock them."""
        for lock in self._locks:
            lock.close()

    def _is_idle(self, source: Path) -> bool:
        """Lock a folder's source; return whether nobody else has."""
        try:
            file = source.open("rb")
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except OSError:  # a file system without locks
            file.close()
            return age_s(source) > UNTOUCHED_S
        self._locks.append(file)
        return True


def sweep_foreign(films: FilmFolder) -> int:
    """Delete films of queues that are gone; return how many.

    A queue is gone if no service has shown that it serves it for a week. Films that were changed
    in that week stay, as do those that an upload or a worker has locked: older services do not show
    that they serve a queue.
    """
    count = 0
    for queue in folders_in(films.root, QUEUE):
        alive = queue / ALIVE
        if queue == films.folder or (alive.exists() and age_s(alive) < FOREIGN_S):
            continue
        idle = IdleFolders(queue, FOREIGN_S)
        try:
            count += idle.delete_unneeded(dict.fromkeys(idle.job_ids, (None, None)))
        finally:
            idle.close()
    return count


@contextlib.contextmanager
def in_use(source: Path) -> Iterator[None]:
    """Keep the sweep away from a job's folder while a worker works in it.

    Raises:
        FileNotFoundError: If the film is not there.
    """
    with source.open("rb") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)
        if not os.fstat(file.fileno()).st_nlink:  # swept before it was locked
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
        yield


def keep_result(folder: Path, name: str | None) -> None:
    """Delete everything in a job's folder but the file of its result; all of it without one."""
    _keep_only(folder, name)


def _keep_only(folder: Path, name: str | None) -> bool:
    """Return whether there was something to delete."""
    if name is None or not (folder / Path(name).name).is_file():
        found = folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
        return found
    try:
        others = [each for each in folder.iterdir() if each.name != name]
    except FileNotFoundError:  # someone has just deleted the job
        return False
    for each in others:
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)
    return bool(others)
