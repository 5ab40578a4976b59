"""Express one forward pass in equivalent iterator steps, and compare their times."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model_core.evaluation.records import Record
from model_core.evaluation.scoring import higher_is_better
from model_core.evaluation.summary import Summary

EQUIVALENT_MEASURES = ("mse", "st-lpips-vgg", "identity_similarity")
"""MSE, and two metrics outside the iterator's loss; further recognisers are added."""


@dataclass(frozen=True, slots=True)
class EquivalentSteps:
    """One pass compared with the iterator started from the mean code, by one metric.

    Attributes:
        measure: Name of the metric.
        one_pass: The pass's value, mean over faces.
        steps: Number of steps after which the iterator's mean value is as good; None if it is
            not reached within the measured steps.
        ratio: Time of those steps over time of the pass, or None.
        by_face: The same number of steps per face; faces that never reach the value count as one
            step more than was measured.
        measured: Number of measured steps.
    """

    measure: str
    one_pass: float
    steps: int | None
    ratio: float | None
    by_face: Summary
    measured: int


def equivalent_steps(
    measures: Sequence[str], one_pass: Sequence[Record], iterator: Sequence[Record]
) -> list[EquivalentSteps]:
    """Compare the two methods on the faces both ran on.

    Args:
        measures: Names of the metrics in the records.
        one_pass: Records of the embedding network.
        iterator: Records of the reference iterator, measured after each of its first steps.
    """
    passes = list(one_pass)[: len(iterator)]
    dense = _dense(iterator[0].steps)
    figures = torch.stack([record.figures[: dense + 1] for record in iterator])
    reference = torch.stack([record.after(0) for record in passes])
    step_s = statistics.median(record.step_s for record in iterator)
    pass_s = statistics.median(record.start_s for record in passes)
    found: list[EquivalentSteps] = []
    for column, name in enumerate(measures):
        if name not in EQUIVALENT_MEASURES and not name.endswith("_similarity"):
            continue
        sign = -1 if higher_is_better(name) else 1
        curves, goals = sign * figures[:, :, column], sign * reference[:, column]
        steps = _first(curves.mean(dim=0), goals.mean())
        by_face = [_first(c, g) for c, g in zip(curves, goals, strict=True)]
        late = [float(dense + 1 if s is None else s) for s in by_face]
        ratio = None if steps is None else steps * step_s / pass_s
        mean = reference[:, column].mean().item()
        found.append(EquivalentSteps(name, mean, steps, ratio, Summary.of(late), dense))
    return found


def _dense(steps: Sequence[int]) -> int:
    """Return the last step up to which every step was measured."""
    return max(i for i, step in enumerate(steps) if step == i)


def _first(curve: torch.Tensor, goal: torch.Tensor) -> int | None:
    """Return the first index at which the curve is at or below the goal, or None."""
    hits = torch.nonzero(curve <= goal)
    return int(hits[0]) if len(hits) else None
