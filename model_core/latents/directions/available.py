"""The directions that faces can be moved along: the shipped ones and the user's own."""

import logging
from pathlib import Path

from model_core.errors import ModelMismatchError
from model_core.latents.directions.library import Direction, Space, load_directions
from model_core.weights.shipped import DIRECTIONS

_log = logging.getLogger(__name__)


def read_directions(folder: Path | None, space: Space) -> dict[str, Direction]:
    """Read the shipped directions, unless they belong to another generator, and those in a folder.

    Args:
        folder: The user's own directions, which override shipped ones of the same name; None if
            there are none.
        space: The generator in use.

    Raises:
        CheckpointError: If the folder is missing or one of its files is damaged.
        ModelMismatchError: If one of its files names another generator.
    """
    own = {} if folder is None else load_directions(folder, space)
    try:
        return load_directions(DIRECTIONS, space) | own
    except ModelMismatchError as err:
        _log.warning("skipping the shipped directions: %s", err)
        return own
