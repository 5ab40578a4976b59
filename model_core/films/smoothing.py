"""Smooth measurements over time without lag.

Each value is replaced by that of a polynomial, fitted to its neighbours in time on both sides, with
weights that fall as a Gaussian: local regression, of which the Savitzky-Golay filter is the case of
equal weights and equal steps. A window on both sides has no lag, unlike filters that only look
back, so that the result does not trail behind the face. The polynomial follows steady motion
(degree 1) and acceleration (degree 2) where a plain mean would flatten them, also at the ends,
where there are neighbours on one side only. Real times are used: frames may be unevenly spaced, or
missing.

Source: Savitzky and Golay 1964; Cleveland 1979.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

MOST_FRAMES = 8
"""Neighbours on either side: frames wait for as many to be read."""

REACH = 2.5
"""Standard deviations of the Gaussian beyond which neighbours do not count."""


@dataclass(frozen=True, slots=True)
class Smoother:
    """A smoothing filter.

    Attributes:
        sigma_s: Standard deviation of the weights, in seconds; 0 leaves values as they are.
        degree: Of the polynomial.
    """

    sigma_s: float
    degree: int

    def weights(
        self, times_s: Float64[np.ndarray, " frames"], at_s: float
    ) -> Float64[np.ndarray, " frames"]:
        """Return the weights, of sum 1, with which values at some times give that at another."""
        offsets = np.asarray(times_s, np.float64) - at_s
        if self.sigma_s == 0:
            nearest = np.zeros(len(offsets))
            nearest[np.argmin(np.abs(offsets))] = 1
            return nearest
        scaled = offsets / self.sigma_s
        share = np.exp(-0.5 * scaled**2) * (np.abs(scaled) <= REACH)
        if np.count_nonzero(share) <= self.degree:
            share = np.exp(-0.5 * (np.abs(scaled) - np.abs(scaled).min()) ** 2)
        degree = min(self.degree, len(offsets) - 1)
        powers = scaled[:, None] ** np.arange(degree + 1)
        # The fitted value at offset 0 is the polynomial's first coefficient.
        root = np.sqrt(share)[:, None]
        weights: Float64[np.ndarray, " frames"] = np.linalg.pinv(root * powers)[0] * root[:, 0]
        return weights

    def smooth(
        self,
        times_s: Float64[np.ndarray, " seen"],
        values: Float[np.ndarray, "seen *shape"],
        at_s: Float64[np.ndarray, " frames"],
    ) -> Float64[np.ndarray, "frames *shape"]:
        """Smooth values, and give them at other times too.

        Args:
            times_s: Rising.
            values: Values at those times.
            at_s: Times of the result, rising.
        """
        result = np.empty((len(at_s), *values.shape[1:]))
        for i, at in enumerate(at_s):
            near = int(np.searchsorted(times_s, at))
            window = slice(max(0, near - MOST_FRAMES), near + MOST_FRAMES + 1)
            weights = self.weights(times_s[window], float(at))
            result[i] = np.tensordot(weights, values[window], 1)
        return result


CROPS = Smoother(0.06, 2)
CODES = Smoother(0.08, 1)
NONE = Smoother(0.0, 0)
