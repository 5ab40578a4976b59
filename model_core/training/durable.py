"""Files of a run that outlast a power cut, in the order in which they were written."""

import os
from pathlib import Path


def publish(partial: Path, path: Path) -> None:
    """Move a written file to its place, and return when both have reached the disk.

    A kill or a power cut leaves what was there before or all of the new file. Without the waiting,
    the system may write a later file first.
    """
    _sync(partial)
    partial.replace(path)
    _sync(path.parent)  # the entry that names the file


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
