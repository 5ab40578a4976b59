"""Figures over faces: means, medians and how sure they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DRAWS = 2000
SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Summary:
    """One figure over faces.

    Attributes:
        mean: Over faces.
        median: Over faces.
        low: Lower end of the median's bootstrap interval of 95 %.
        high: Its upper end.
    """

    mean: float
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Summarise one value or more; the same values give the same interval."""
        x = np.asarray(values, dtype=float)
        drawn = np.random.default_rng(0).integers(len(x), size=(DRAWS, len(x)))
        medians = _sorted_medians(x[drawn])
        edge = round((1 - SHARE) / 2 * (DRAWS - 1))
        low, high = medians[edge], medians[DRAWS - 1 - edge]
        return cls(float(x.mean()), float(np.median(x)), float(low), float(high))


def _sorted_medians(samples: Float[np.ndarray, "draws n"]) -> Float[np.ndarray, " draws"]:
    return np.sort(np.median(samples, axis=1))
