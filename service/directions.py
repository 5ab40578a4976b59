"""What the directions that a request to /edit names add to a code."""

from collections.abc import Mapping

from model_core.latents.directions.combining import (
    DirectionRangeError,
    UnknownDirectionError,
    combined_step,
    value_of,
)
from model_core.latents.directions.library import Direction, Step
from service.errors import InvalidRequestError
from service.wire.options import DirectionOptions
from service.wire.problems import pointer_of


def requested_step(directions: Mapping[str, Direction], options: DirectionOptions) -> Step:
    """Return what the directions that the options name add to a code, all together.

    Raises:
        InvalidRequestError: If there is no such direction, or a value is out of its range.
    """
    names, _ = _names(options)
    strengths = requested_values(directions, options)
    return combined_step(directions, strengths, options.unsafe, names)


def requested_values(
    directions: Mapping[str, Direction], options: DirectionOptions
) -> dict[str, float]:
    """Return how far to move along each direction that the options name, in its unit.

    Raises:
        InvalidRequestError: If there is no such direction, or a value is out of its range.
    """
    names, values = _names(options)
    asked: Mapping[str, float | None] = dict(options.directions or {})
    if options.direction is not None:
        asked = {options.direction: options.strength}
    try:
        return {
            each: value_of(directions, each, given, options.unsafe, names)
            for each, given in asked.items()
        }
    except UnknownDirectionError as err:
        raise _refusal(names, str(err)) from err
    except DirectionRangeError as err:
        hint = "; faces may break beyond, which unsafe=true allows" if err.allowed_if_unsafe else ""
        raise _refusal(values, f"{err}{hint}") from err


def _names(options: DirectionOptions) -> tuple[str, str]:
    """Name the options that hold the directions and their values."""
    return ("directions", "directions") if options.direction is None else ("direction", "strength")


def _refusal(name: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(detail, [{"pointer": pointer_of(name), "detail": detail}])
