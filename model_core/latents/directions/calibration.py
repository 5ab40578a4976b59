"""What a direction's sidecar says besides its origin: the unit, and how far faces hold.

All members are optional, because a direction may come without a sidecar.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model_core.errors import CheckpointError

DEVIATIONS = "standard deviations"
DEFAULT = 2.0  # standard deviations
FURTHEST = 10.0
"""Standard deviations beyond which nothing is rendered: no face is left there."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A direction's unit, and what was measured of it.

    Attributes:
        title: A name for people.
        unit: What its values count, in the plural.
        deviations: Standard deviations of the generator's codes in one unit.
        safe: Lowest and highest value at which faces were found to hold; None if not measured.
        default: The value to use if none is given.
        moves_along: How far one unit moves other directions' attributes, in their units.
        description: What it changes, and what it does not.
        measured_by: What measured the attribute when it was fitted.
    """

    title: str
    unit: str = DEVIATIONS
    deviations: float = 1.0
    safe: tuple[float, float] | None = None
    default: float = DEFAULT
    moves_along: Mapping[str, float] = field(default_factory=dict)
    description: str = ""
    measured_by: str = ""

    @property
    def furthest(self) -> tuple[float, float]:
        """Lowest and highest value of all."""
        furthest = FURTHEST / self.deviations
        return -furthest, furthest

    @property
    def held(self) -> tuple[float, float]:
        """The safe range, or the whole one if none was measured."""
        return self.safe or self.furthest


def read_calibration(path: Path, sidecar: Mapping[str, object]) -> Calibration:
    """Take a direction's calibration out of its sidecar.

    Args:
        path: The direction's file.
        sidecar: The sidecar's members, of which others are ignored; empty if there is none.

    Raises:
        CheckpointError: If a member is damaged.
    """
    deviations = _number(path, "deviations_per_unit", sidecar.get("deviations_per_unit", 1.0))
    if deviations <= 0:
        raise CheckpointError(f"deviations_per_unit of {path.name} must be above 0")
    bounds = sidecar.get("safe")
    safe = None
    if bounds is not None:
        if not isinstance(bounds, list) or len(bounds) != 2:
            raise CheckpointError(f"safe of {path.name} must be two numbers, got {bounds}")
        safe = _number(path, "safe", bounds[0]), _number(path, "safe", bounds[1])
        if not safe[0] <= 0 <= safe[1]:
            raise CheckpointError(f"safe of {path.name} must include 0, got {bounds}")
    low, high = safe or (-FURTHEST / deviations, FURTHEST / deviations)
    default = _number(path, "default", sidecar.get("default", DEFAULT / deviations))
    along = sidecar.get("moves_along", {})
    if not isinstance(along, dict):
        raise CheckpointError(f"moves_along of {path.name} must be an object, got {along}")
    return Calibration(
        title=str(sidecar.get("title", path.stem)),
        unit=str(sidecar.get("unit", DEVIATIONS)),
        deviations=deviations,
        safe=safe,
        default=min(max(default, low), high),
        moves_along={str(k): _number(path, "moves_along", v) for k, v in along.items()},
        description=str(sidecar.get("description", "")),
        measured_by=str(sidecar.get("measured_by", "")),
    )


def _number(path: Path, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CheckpointError(f"{name} of {path.name} must be a finite number, got {value}")
    return float(value)
