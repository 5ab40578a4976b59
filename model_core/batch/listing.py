"""The photos of a run: which, in which order, by which names."""

from collections.abc import Callable
from pathlib import Path

from model_core.alignment.folder import find_photos
from model_core.errors import InvalidInputError

Progress = Callable[[int, int, int], object]
"""Called with the photos done, the total, and the faces found."""


def list_photos(source: Path, target: Path) -> list[tuple[Path, str]]:
    """Return the photos of a folder and its subfolders in order, with their paths below it.

    Args:
        source: The folder.
        target: Folder inside it to leave out.

    Raises:
        InvalidInputError: If there are none, or the target is the folder itself.
    """
    photos = find_photos(source, target)
    if not photos:
        raise InvalidInputError(f"source must be a folder of photos, got {source}")
    if source.resolve() == target.resolve():  # images of one run would be photos of the next
        raise InvalidInputError(f"OUT must be another folder than the photos', got {target}")
    return [(photo, photo.relative_to(source).as_posix()) for photo in photos]
