"""The folder of a film's finished parts, which no other process writes until it is left."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from model_core.atomic_file import PARTIAL, write_file
from model_core.errors import InvalidInputError

SETTINGS = "settings.json"
LOCK = ".lock"
OURS = ("seen.json", "seen-*.npz", "blend.json", "segment-*", SETTINGS, LOCK, f".*{PARTIAL}")


class WorkFolder:
    """A folder for the parts of one film, edited with one set of settings.

    Args:
        folder: Created if missing.
        settings: Everything the parts depend on; a folder started with others is refused.

    Raises:
        InvalidInputError: If the folder was started with other settings, holds something else, or
            another process uses it.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object]):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder
        stored = folder / SETTINGS
        if not stored.exists() and any(_is_foreign(each) for each in folder.iterdir()):
            raise InvalidInputError(
                f"the folder of finished parts must be new or empty, got {folder}, which holds "
                "other files"
            )
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InvalidInputError(f"{folder} is being written by another process") from None
        text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
        if stored.exists() and stored.read_text("utf-8") != text:
            self._lock.release()
            raise InvalidInputError(
                f"{folder} was started with another film or other settings, listed in {SETTINGS}: "
                "use those, or delete the folder to start over"
            )
        if not stored.exists():
            write_file(stored, text.encode())

    def __enter__(self) -> "WorkFolder":
        return self

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    @property
    def seen(self) -> Path:
        """The path of what says that the whole film has been seen."""
        return self.path / "seen.json"

    @property
    def blend(self) -> Path:
        """The path of how faces are pasted, where that was chosen."""
        return self.path / "blend.json"

    def observations(self, number: int) -> Path:
        """Return the path of the faces seen in a part of the film."""
        return self.path / f"seen-{number:05d}.npz"

    def segment(self, number: int) -> Path:
        """Return the path of an edited part of the film."""
        return self.path / f"segment-{number:05d}.nut"

    def notes(self, number: int) -> Path:
        """Return the path of what was measured in an edited part; written before the part."""
        return self.path / f"segment-{number:05d}.json"


def remove_work(folder: Path) -> None:
    """Delete a folder of parts; files that are not ours stay, and the folder with them."""
    for pattern in OURS:
        for part in folder.glob(pattern):
            part.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else is in it
        folder.rmdir()


def _is_foreign(path: Path) -> bool:
    """Whether a file is not what a run that was killed at its start leaves."""
    return path.name != LOCK and not path.name.endswith(PARTIAL)
