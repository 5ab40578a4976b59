"""The iterator's fast path: first steps through an image head, the others through true output."""

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
"""Updates through the head, of a run of twice as many or more; a shorter one does half of its own.

They find the face at large, which small images show as well; the details are left to true output.
"""


@dataclass(frozen=True, slots=True)
class HeadRender:
    """An image head at work.

    Attributes:
        render: Codes to its images.
        size_px: Side of these.
    """

    render: Render
    size_px: int


class TwoStageIterator:
    """Run the iterator in two legs where there is a head, and in one where there is none.

    Which leg a step belongs to follows from its number and the total, so that a run that was
    stopped goes on as it would have. Codes and Adam's moments go from leg to leg, and the best so
    far is sought anew, as losses at two sizes do not compare.

    Args:
        render: Codes to true output, of the targets' size or larger.
        lpips: The perceptual part of the loss.
        config: What equation 1 leaves open.
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
        """Do some updates in place, then score the last codes as well.

        Args:
            state: Where to go on from; of a run that was stopped, with all the steps that it lacks.
                Its best_ws then holds the best codes of the present leg.
            target: Images in [-1, 1], not smaller than the head's.
            steps: Updates.
            on_step: Told of every evaluation once; a false answer stops the run.

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
    """Tell on_step that what it is told of is the head's."""
    return lambda report: on_step(dataclasses.replace(report, by_head=True))
