"""The folder that a run writes: one process, one set of settings, a list of skipped photos."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from model_core.atomic_file import PARTIAL, partial_file, publish, write_file
from model_core.errors import InvalidInputError
from model_core.skipped import SKIPPED, skipped_lines

SETTINGS = "settings.json"
LOCK = ".lock"
LONGEST_NAME_BYTES = 230  # most file systems allow 255, of which a partial file takes some


class OutputFolder:
    """A run's folder, which no other process writes until it is left.

    Args:
        folder: Created if missing.
        settings: Everything that the results depend on; a run with others is refused.

    Raises:
        InvalidInputError: If the folder was started with other settings, or another process
            writes it.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InvalidInputError(f"{folder} is being written by another process") from None
        try:
            self._check(settings)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "OutputFolder":
        return self

    def __exit__(self, *_error: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Let other processes write the folder."""
        self._lock.release()

    def list_skipped(self, reasons: Mapping[str, str]) -> int:
        """Write the skipped photos' `printable` names and the reasons; return their number."""
        write_file(self._folder / SKIPPED, skipped_lines(reasons).encode())
        return len(reasons)

    def _check(self, settings: Mapping[str, Any]) -> None:
        stored = self._folder / SETTINGS
        text = settings_text(settings)
        if stored.exists() and stored.read_text("utf-8") != text:
            raise other_settings(self._folder)
        write_file(stored, text.encode())


def settings_text(settings: Mapping[str, Any]) -> str:
    """Return the contents of settings.json, the same for the same settings."""
    return json.dumps(settings, indent=2, sort_keys=True) + "\n"


def other_settings(folder: Path | str) -> InvalidInputError:
    """Return the error for a folder that was started with other settings."""
    return InvalidInputError(
        f"{folder} was started with other settings, listed in {SETTINGS}: use those, or choose "
        "another folder"
    )


def remove_partial(folder: Path, below: bool = True) -> None:
    """Remove what a killed run left half-written in a folder and, if `below`, its subfolders."""
    for file in folder.glob(f"{'**/' if below else ''}.*{PARTIAL}"):
        file.unlink(missing_ok=True)


def save(place: Path, data: bytes, durable: bool = True) -> None:
    """Write a file as a whole, and its folders; `durable` as for `publish`.

    Raises:
        InvalidInputError: If its name is too long.
        OSError: If it cannot be written.
    """
    check_name(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    with partial_file(place) as file:
        file.write(data)
        publish(file, place, durable)


def check_name(place: Path) -> None:
    """Check that a file can have its name.

    Raises:
        InvalidInputError: If it is too long.
    """
    if (size_bytes := len(os.fsencode(place.name))) > LONGEST_NAME_BYTES:
        raise InvalidInputError(
            f"file name must have at most {LONGEST_NAME_BYTES} bytes with what is added to it, "
            f"got {size_bytes}"
        )


def digest(file: Path) -> str:
    """Return the SHA-256 of a file, for the settings of runs that depend on it."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
