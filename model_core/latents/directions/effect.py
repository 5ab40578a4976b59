"""What moving along a direction changes in faces, and how far they hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from model_core.latents.directions.measuring import MEASURES, Measured, Values
from model_core.latents.editing import move
from model_core.metrics.identity import SAME_PERSON_SIMILARITY
from model_core.shapes import Codes, Ws

STRENGTHS = (1.0, 2.0, 3.0)
"""Standard deviations at which faces are judged, either way, until they no longer hold; then half
a step back. At 4 the recogniser still knows many faces, but photographs smear: their detail no
longer fits."""

ENOUGH = 0.9
"""Share of faces that must hold: the detector finds them, and they are the same person."""

REACH = 2.0  # strength at which changes are measured, if faces hold there

Judge = Callable[[Float[Tensor, "num_ws w_dim"]], Measured]


@dataclass(frozen=True, slots=True)
class Effect:
    """What was measured of a direction.

    Attributes:
        safe: Lowest and highest strength at which enough faces hold; 0 if none do at 1.
        held: Share of faces that hold, by strength.
        change: Mean change of each measure per unit of strength.
    """

    safe: tuple[float, float]
    held: dict[float, float]
    change: Values


def measure_effect(
    judge: Judge,
    ws: Codes,
    step: Ws,
    before: Sequence[Measured],
    strengths: Sequence[float] = STRENGTHS,
) -> Effect:
    """Move faces along a direction and measure them.

    Args:
        judge: Renders and measures a code.
        ws: Codes to move, none of them used in fitting.
        step: What strength 1 adds.
        before: What `judge` measures of them unmoved.
        strengths: Where to judge them, rising.
    """
    held, seen, ends = {0.0: 1.0}, {0.0: list(before)}, []

    def holds(at: float) -> bool:
        seen[at] = [judge(code) for code in move(ws, step, at)]
        held[at] = share_held(before, seen[at])
        return held[at] >= ENOUGH

    for sign in (-1.0, 1.0):
        end = 0.0
        for strength in strengths:
            at = sign * strength
            if not holds(at):
                if end and holds((end + at) / 2):
                    end = (end + at) / 2
                break
            end = at
        ends.append(end)
    reach = max((s for s in seen if 0 < s <= REACH and -s in seen), default=strengths[0])
    ends_seen = [np.stack([each.values for each in seen[at]]) for at in (-reach, reach)]
    differences = ends_seen[1] - ends_seen[0]
    found = ~np.isnan(differences).any(axis=1)
    change: Values = differences[found].mean(axis=0) if found.any() else np.zeros(len(MEASURES))
    return Effect((ends[0], ends[1]), dict(sorted(held.items())), change / (2 * reach))


def share_held(before: Sequence[Measured], after: Sequence[Measured]) -> float:
    """Return the share of faces that are still found, and still the same person."""
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.found]
    held = [b.found and similarity(a, b) >= SAME_PERSON_SIMILARITY for a, b in pairs]
    return float(np.mean(held))


def similarity(a: Measured, b: Measured) -> float:
    """Return the cosine of two faces' descriptors."""
    lengths = np.linalg.norm(a.descriptor) * np.linalg.norm(b.descriptor)
    return float(a.descriptor @ b.descriptor / lengths)
