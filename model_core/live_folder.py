"""List folders that other processes change meanwhile.

Does not import torch, so that checking a full cache is fast.
"""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield every file below a folder with its size in bytes.

    Skips what is deleted during the listing; `Path.rglob` would raise.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                yield path, path.stat().st_size
            except OSError:  # NFS has other words for a file that has just been deleted
                continue
