"""Whether a process takes films: it needs a folder for them, and the packages of an extra."""

import contextlib
import importlib.util
import os
from pathlib import Path

from model_core.errors import MissingExtraError
from service.errors import FilmsOffError
from service.settings import PREFIX, Settings

EXTRA = "pip install 'wplus[film]'"


def find_root(settings: Settings) -> Path:
    """Find the folder of films that the settings name, or make it.

    Raises:
        FilmsOffError: If they name none, or it cannot be written to.
        MissingExtraError: If the packages for films are not installed.
    """
    root = settings.films_folder
    if root is None:
        raise FilmsOffError(f"{PREFIX}FILMS must be a folder, got off")
    with contextlib.suppress(OSError):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not root.is_dir() or not os.access(root, os.W_OK | os.X_OK):
        raise FilmsOffError(f"{PREFIX}FILMS must be a folder that can be written, got {root}")
    if importlib.util.find_spec("av") is None:
        raise MissingExtraError(f"films need the package av, got none: {EXTRA}")
    return root
