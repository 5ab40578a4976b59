"""Write what was measured of a direction in its own unit."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from model_core.latents.directions.calibration import DEFAULT, DEVIATIONS
from model_core.latents.directions.effect import Effect
from model_core.latents.directions.measuring import MEASURES, Values, column
from model_core.latents.directions.wanted import Fit, Wanted

DEFAULT_YEARS = 15.0
LEAST_ALONG = 0.1  # of the other's standard deviation or year, per step of 1 standard deviation


def describe(fit: Fit, effect: Effect, effects: Mapping[Wanted, Effect]) -> dict[str, Any]:
    """Return the sidecar of a direction.

    Args:
        fit: The direction.
        effect: What was measured of it.
        effects: What was measured of all, to express in their units what moves along.
    """
    wanted = fit.wanted
    per_deviation = _own(wanted, effect.change) if wanted.in_years else 1.0  # units
    safe = [_towards_0(end * per_deviation, wanted.in_years) for end in effect.safe]
    # Safe either way, as a client may offer it with a minus.
    default = min(DEFAULT_YEARS if wanted.in_years else DEFAULT, -safe[0], safe[1])
    return {
        "name": wanted.name,
        "title": wanted.title,
        "unit": "years" if wanted.in_years else DEVIATIONS,
        "deviations_per_unit": round(1 / per_deviation, 5),
        "safe": safe,
        "default": default,
        "moves_along": {
            other.name: round(amount / per_deviation, 3)
            for other, of in effects.items()
            if other != wanted and abs(amount := _along(effect, other, of)) >= LEAST_ALONG
        },
        "description": wanted.description,
        "measured_by": wanted.measured_by,
        "given": list(wanted.given),
        "change_per_deviation": {
            name: round(float(change), 4)
            for name, change in zip(MEASURES, effect.change, strict=True)
        },
        "held": {f"{strength:+g}": round(share, 3) for strength, share in effect.held.items()},
        "held_out_accuracy": round(fit.accuracy, 3),
        "samples": fit.samples,
    }


def _own(wanted: Wanted, change: Values) -> float:
    """Return the change of a direction's own measure."""
    return float(column(change[None], *wanted.measures)[0])


def _along(effect: Effect, other: Wanted, of: Effect) -> float:
    """Return how far one standard deviation of a direction moves another's attribute."""
    amount = _own(other, effect.change)
    return amount if other.in_years else amount / _own(other, of.change)


def _towards_0(value: float, whole: bool) -> float:
    return float(np.trunc(value)) if whole else math.trunc(value * 100) / 100
