"""Summarise metrics over faces: means, medians and confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

DRAWS = 2000
SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric over faces.

    Attributes:
        mean: Mean over faces.
        median: Median over faces.
        low: Lower end of the median's 95 % bootstrap interval.
        high: Its upper end.
    """

    mean: float
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Summarise one or more values, deterministically."""
        x = np.asarray(values, dtype=float)
        low = high = float(np.median(x))
        if len(x) > 1:  # one value cannot be resampled
            found = bootstrap(
                (x,),
                np.median,
                n_resamples=DRAWS,
                confidence_level=SHARE,
                method="percentile",
                rng=np.random.default_rng(0),
            ).confidence_interval
            low, high = float(found.low), float(found.high)
        return cls(float(x.mean()), float(np.median(x)), low, high)
