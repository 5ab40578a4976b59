"""What the directions that a request to /edit names add to a code."""

from collections.abc import Mapping

from model_core.latents.directions.combining import (
    DirectionRangeError,
    UnknownDirectionError,
    combined_step,
)
from model_core.latents.directions.library import Direction, Step
from service.errors import InvalidRequestError
from service.wire.options import EditOptions
from service.wire.problems import pointer_of


def requested_step(directions: Mapping[str, Direction], options: EditOptions) -> Step:
    """Return what the directions that the options name add to a code, all together.

    Raises:
        InvalidRequestError: If there is no such direction, or a value is out of its range.
    """
    names, values = "directions", "directions"
    asked: Mapping[str, float | None] = dict(options.directions or {})
    if options.direction is not None:
        names, values = "direction", "strength"
        asked = {options.direction: options.strength}
    try:
        return combined_step(directions, asked, options.unsafe, names)
    except UnknownDirectionError as err:
        raise _refusal(names, str(err)) from err
    except DirectionRangeError as err:
        hint = "; faces may break beyond, which unsafe=true allows" if err.allowed_if_unsafe else ""
        raise _refusal(values, f"{err}{hint}") from err


def _refusal(name: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(detail, [{"pointer": pointer_of(name), "detail": detail}])
