"""Where the picture was cut, or a face jumped: changes that stand out from those around them."""

import numpy as np
from jaxtyping import Bool, Float64

AROUND = 6
"""Frames on either side that a change is compared with."""

TIMES_AROUND = 3.0
"""How many times larger than the changes around it that of a cut is; fast motion is not."""


def find_jumps(
    changes: Float64[np.ndarray, " frames"], least: float
) -> Bool[np.ndarray, " frames"]:
    """Return at which frames something jumped.

    Args:
        changes: Of each frame from the one before.
        least: Changes below are none.
    """
    jumps = np.zeros(len(changes), bool)
    for i in np.nonzero(changes >= least)[0]:
        low, high = max(1, i - AROUND), i + AROUND + 1
        others = np.concatenate([changes[low:i], changes[i + 1 : high]])
        usual = float(np.median(others)) if len(others) else 0.0
        jumps[i] = changes[i] >= TIMES_AROUND * usual
    return jumps
