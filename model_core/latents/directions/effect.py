"""What moving along a direction changes in faces."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from model_core.latents.directions.attributes import smile, yaw
from model_core.latents.directions.samples import Landmarks
from model_core.latents.editing import move

REACH = 2.0  # faces are measured at this strength either way

Codes = Float[Tensor, "faces num_ws w_dim"]


def measure_effect(
    measure: Callable[[Float[Tensor, "num_ws w_dim"]], Landmarks],
    ws: Codes,
    step: Float[Tensor, "num_ws w_dim"],
) -> dict[str, float]:
    """Measure the mean change of yaw and smile per unit of strength.

    Args:
        measure: Returns the landmarks of a code's face, NaN if none is found.
        ws: Codes to move, none of them used in fitting.
        step: What strength 1 adds.
    """
    before, after = (
        np.stack([measure(code) for code in move(ws, step, strength)])
        for strength in (-REACH, REACH)
    )
    return {name: _mean_change(before, after, of) for name, of in (("yaw", yaw), ("smile", smile))}


def _mean_change(
    before: Float64[np.ndarray, "faces 68 2"],
    after: Float64[np.ndarray, "faces 68 2"],
    of: Callable[[Float64[np.ndarray, "faces 68 2"]], Float64[np.ndarray, " faces"]],
) -> float:
    return float(np.nanmean(of(after) - of(before)) / (2 * REACH))
