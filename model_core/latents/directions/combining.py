"""Combine directions with their values into one step, within the ranges that faces bear."""

from collections.abc import Mapping

import torch

from model_core.errors import InvalidInputError
from model_core.latents.directions.library import Direction, Step


class UnknownDirectionError(InvalidInputError):
    """There is no direction of this name."""


class DirectionRangeError(InvalidInputError):
    """A value is outside its direction's range.

    Attributes:
        allowed_if_unsafe: Whether the range is the safe one, which a caller may leave.
    """

    def __init__(self, message: str, allowed_if_unsafe: bool) -> None:
        super().__init__(message)
        self.allowed_if_unsafe = allowed_if_unsafe


def combined_step(
    directions: Mapping[str, Direction],
    asked: Mapping[str, float | None],
    unsafe: bool = False,
    name: str = "direction",
) -> Step:
    """Return what directions add to a code, all together.

    Args:
        directions: All directions, by name.
        asked: How far to move along some of them, at least one, in their units; None takes the
            direction's default.
        unsafe: Whether values may leave the safe range.
        name: Name of the argument, for messages.

    Raises:
        UnknownDirectionError: If there is no such direction.
        DirectionRangeError: If a value is out of range.
    """
    steps = [value_of(directions, each, given, unsafe, name) for each, given in asked.items()]
    moved = [value * directions[each].step for each, value in zip(asked, steps, strict=True)]
    return torch.stack(moved).sum(dim=0)


def value_of(
    directions: Mapping[str, Direction],
    direction: str,
    given: float | None,
    unsafe: bool,
    name: str = "direction",
) -> float:
    """Return a direction's value, or its default if none is given; arguments and errors as above.

    Args:
        directions: All directions, by name.
        direction: Name of one.
        given: How far to move along it; None takes its default.
        unsafe: Whether the value may leave the safe range.
        name: Name of the argument, for messages.
    """
    if direction not in directions:
        known = ", ".join(sorted(directions)) or "none (there are no directions)"
        raise UnknownDirectionError(f"{name} must be one of {known}, got {direction}")
    calibration = directions[direction].calibration
    value = calibration.default if given is None else given
    low, high = calibration.furthest if unsafe else calibration.held
    if not low <= value <= high:
        rule = f"{direction} must be from {low:.4g} to {high:.4g} {calibration.unit}"
        more = not unsafe and calibration.safe is not None
        raise DirectionRangeError(f"{rule}, got {value:g}", more)
    return value
