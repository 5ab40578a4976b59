"""Where films are, and whether a process takes them: that needs the packages of an extra."""

import contextlib
import importlib.util
import os
from pathlib import Path

from model_core.errors import MissingExtraError
from service.errors import FilmElsewhereError, FilmsOffError
from service.jobs.film_folder import queue_folder
from service.settings import PREFIX, Settings

EXTRA = "pip install 'wplus[film]'"


def find_root(settings: Settings) -> Path:
    """Find the folder of films that the settings name, or make it.

    Raises:
        FilmsOffError: If they name none, or it cannot be written to.
        MissingExtraError: If the packages for films are not installed.
    """
    if settings.films_folder is None:
        raise FilmsOffError(f"{PREFIX}FILMS must be a folder, got off")
    root = _usable(settings.films_folder)
    if importlib.util.find_spec("av") is None:
        raise MissingExtraError(f"films need the package av, got none: {EXTRA}")
    return root


def find_kept(settings: Settings, queue: str) -> Path:
    """Find the folder of films that were taken before, even if no more are.

    Where the settings name none, a queue may have films in the one that is used by default.

    Args:
        settings: The service's settings.
        queue: Id of the queue.

    Raises:
        FilmElsewhereError: If it is not known where they are, or the folder cannot be written to.
    """
    root = settings.films_folder
    if root is None:
        root = settings.films_in_cache
        if not queue_folder(root, queue).is_dir():
            raise FilmElsewhereError(
                f"{PREFIX}FILMS must be the folder of the film, got off, and {root} has none"
            )
    try:
        return _usable(root)
    except FilmsOffError as err:
        raise FilmElsewhereError(str(err)) from err


def _usable(root: Path) -> Path:
    """Return a folder, made if it is missing."""
    with contextlib.suppress(OSError):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not root.is_dir() or not os.access(root, os.W_OK | os.X_OK):
        raise FilmsOffError(f"{PREFIX}FILMS must be a folder that can be written, got {root}")
    return root
