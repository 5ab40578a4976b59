"""The iterator's fast path: first steps through an image head, the rest through true output."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from model_core.inversion.iterator import (
    IteratorConfig,
    IteratorState,
    LatentIterator,
    Render,
    StepReport,
)
from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import Images

EARLY_STEPS = 20
"""Updates through the head, in a run of at least twice as many; a shorter run does half of its own.

They find the coarse face, which small images show just as well; details are left to true output.
"""


@dataclass(frozen=True, slots=True)
class HeadRender:
    """An image head in use.

    Attributes:
        render: Codes to its images.
        size_px: Side of these images.
    """

    render: Render
    size_px: int


class TwoStageIterator:
    """Run the iterator in two legs if there is a head, else in one.

    A step's leg follows from its number and the total, so that a stopped run resumes as it would
    have continued. Codes and Adam's moments carry over between legs, but the search for the best
    starts over, because losses at two sizes do not compare.

    Args:
        render: Codes to true output, at least as large as the targets.
        lpips: The perceptual part of the loss.
        config: Choices that equation 1 leaves open.
        head: Renders the first steps.
    """

    def __init__(
        self,
        render: Render,
        lpips: Perceptual,
        config: IteratorConfig | None = None,
        head: HeadRender | None = None,
    ):
        self._true = LatentIterator(render, lpips, config)
        self._early = (LatentIterator(head.render, lpips, config), head.size_px) if head else None

    def run(
        self,
        state: IteratorState,
        target: Images,
        steps: int,
        on_step: Callable[[StepReport], bool] = lambda _report: True,
    ) -> None:
        """Do a number of updates in place, then score the last codes too.

        Args:
            state: State to resume from; for a stopped run, give all the steps that remain.
                Its best_ws then holds the best codes of the current leg.
            target: Images in [-1, 1], no smaller than the head's.
            steps: Number of updates.
            on_step: Called once with every evaluation; returning False stops the run.

        Raises:
            InvalidInputError: If codes and targets differ in number.
        """
        end = min(EARLY_STEPS, (state.step + steps) // 2)
        early = end - state.step
        if self._early and early > 0:
            iterator, size_px = self._early
            small = F.adaptive_avg_pool2d(target, size_px)
            iterator.run(state, small, early, _of_head(on_step), score_last=False)
            if state.step < end:
                return
            state.best_loss = torch.full_like(state.best_loss, torch.inf)
            steps -= early
        self._true.run(state, target, steps, on_step)


def _of_head(on_step: Callable[[StepReport], bool]) -> Callable[[StepReport], bool]:
    """Mark reports as the head's before on_step gets them."""
    return lambda report: on_step(dataclasses.replace(report, by_head=True))
