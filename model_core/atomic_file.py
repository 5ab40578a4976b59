"""Write files so that a reader sees all or nothing, and a power cut leaves the old or the new.

Does not import torch, so that checking a full cache is fast.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PARTIAL = ".partial"


@contextmanager
def partial_file(target: Path) -> Iterator[IO[bytes]]:
    """Open a new file next to the target; it is removed at the end unless it was published.

    It is readable by everyone once published: a cache filled by root serves other users.
    """
    with tempfile.NamedTemporaryFile(
        dir=target.parent, prefix=f".{target.name}.", suffix=PARTIAL, delete=False
    ) as file:
        try:
            os.fchmod(file.fileno(), 0o644)
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)


def publish(file: IO[bytes], target: Path, durable: bool = True) -> None:
    """Rename a partial file to its final name.

    Args:
        file: From `partial_file`.
        target: Its final name.
        durable: Return once bytes and name have reached the disk. Otherwise a power cut may
            leave an empty file, and later files may outlast this one.
    """
    if durable:
        settle(file)
    else:
        file.flush()
    Path(file.name).replace(target)
    if durable:
        sync_folder(target.parent)


def write_file(target: Path, data: bytes, durable: bool = True) -> None:
    """Write a whole file; `durable` as in `publish`."""
    with partial_file(target) as file:
        file.write(data)
        publish(file, target, durable)


def settle(file: IO[bytes]) -> None:
    """Wait until a file's bytes have reached the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
