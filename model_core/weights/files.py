"""Hash weight files, read their sidecars and lock their folder.

Does not import torch, so that checking a full cache is fast.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_core.errors import CheckpointError

CHUNK_BYTES = 1 << 20
LOCK_POLL_S = 0.1


@contextmanager
def exclusive(lock: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a file lock; it is released with the process, however that ends.

    Args:
        lock: File to lock, created if missing.
        on_wait: Called once if another process holds the lock.
    """
    from filelock import FileLock, Timeout  # takes 70 ms to import, which only a pull need wait for

    held = FileLock(lock, poll_interval=LOCK_POLL_S)
    try:
        held.acquire(blocking=False)
    except Timeout:
        on_wait()
        held.acquire()  # polls, so that signals are handled meanwhile
    try:
        yield
    finally:
        held.release()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sidecar_path(path: Path) -> Path:
    """Return the path of a weight file's sidecar."""
    return path.with_suffix(".json")


def encode_sidecar(sidecar: Mapping[str, Any]) -> bytes:
    """Return the bytes of a sidecar's file, the same for the same content."""
    return json.dumps(sidecar, indent=2, sort_keys=True).encode() + b"\n"


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read the sidecar of a weight file.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    sidecar_file = sidecar_path(path)
    try:
        sidecar = json.loads(sidecar_file.read_bytes())
    except FileNotFoundError as err:
        raise CheckpointError(f"{path} must have a sidecar {sidecar_file.name}, got none") from err
    except ValueError as err:
        raise CheckpointError(f"{sidecar_file} must be a JSON object, got {err}") from err
    if not isinstance(sidecar, dict):
        raise CheckpointError(f"{sidecar_file} must be a JSON object, got {type(sidecar).__name__}")
    return sidecar
