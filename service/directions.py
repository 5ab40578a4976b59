"""The directions that /edit offers: the shipped ones and the operator's own."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from model_core.errors import ModelMismatchError
from model_core.latents.directions.library import Direction, Space, Step, load_directions
from model_core.weights.shipped import DIRECTIONS
from service.errors import InvalidRequestError
from service.wire.options import DirectionOptions
from service.wire.problems import pointer_of

logger = logging.getLogger("service.directions")


def read_directions(folder: Path | None, space: Space) -> dict[str, Direction]:
    """Read the shipped directions, unless they belong to another generator, and those in a folder.

    Args:
        folder: The operator's own directions, which override shipped ones of the same name; None if
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
        logger.warning("skipping the shipped directions: %s", err)
        return own


def combined_step(directions: Mapping[str, Direction], options: DirectionOptions) -> Step:
    """Return what the directions that the options name add to a code, all together.

    Raises:
        InvalidRequestError: If there is no such direction, or a value is out of its range.
    """
    strengths = strengths_of(directions, options)
    steps = [value * directions[name].step for name, value in strengths.items()]
    return torch.stack(steps).sum(dim=0)


def strengths_of(
    directions: Mapping[str, Direction], options: DirectionOptions
) -> dict[str, float]:
    """Return how far to move along each direction that the options name, in its unit.

    Raises:
        InvalidRequestError: If there is no such direction, or a value is out of its range.
    """
    names, values = "directions", "directions"
    asked: Mapping[str, float | None] = dict(options.directions or {})
    if options.direction is not None:
        names, values = "direction", "strength"
        asked = {options.direction: options.strength}
    strengths = {}
    for name, given in asked.items():
        if name not in directions:
            known = ", ".join(sorted(directions)) or "none (there are no directions)"
            raise _refusal(names, f"{names} must be one of {known}, got {name}")
        calibration = directions[name].calibration
        value = calibration.default if given is None else given
        low, high = calibration.furthest if options.unsafe else calibration.held
        if not low <= value <= high:
            more = not options.unsafe and calibration.safe is not None
            hint = "; faces may break beyond, which unsafe=true allows" if more else ""
            rule = f"{name} must be from {low:.4g} to {high:.4g} {calibration.unit}"
            raise _refusal(values, f"{rule}, got {value:g}{hint}")
        strengths[name] = value
    return strengths


def _refusal(name: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(detail, [{"pointer": pointer_of(name), "detail": detail}])
