"""The iterator with detail: steps on the code where it needs them, the rest on the detail."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch.nn import functional as F

from model_core.inversion.detail_iterator import DetailIterator, DetailState
from model_core.inversion.iterator import (
    IteratorConfig,
    IteratorState,
    LatentIterator,
    Render,
    StepReport,
)
from model_core.inversion.two_stage import EARLY_STEPS, HeadRender, TwoStageIterator
from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import Codes, Details, Images

CODE_STEPS = EARLY_STEPS
"""Updates of a code that needs some, in a run of at least twice as many; a shorter run does half of
its own.
"""

NEAR = 0.03
"""MSE up to which a code with the encoder's detail is near enough for no steps on the code. The
detail encoder knows codes of the embedding network: steps on these take it away from what it knows.
"""

_log = logging.getLogger(__name__)

EncodeDetail = Callable[[Images, Codes], Details]
"""Faces and their codes to details."""


@dataclass(slots=True)
class RefineState:
    """Everything that a run needs to resume.

    Attributes:
        codes: The iterator's state; its best code is the one that the detail belongs to.
        detail: State of the search of the detail; None before it has begun.
    """

    codes: IteratorState
    detail: DetailState | None = None

    @classmethod
    def start(cls, ws: Codes) -> "RefineState":
        """Start at the given codes."""
        return cls(IteratorState.start(ws))

    @property
    def step(self) -> int:
        """Updates done, of code and detail."""
        return self.codes.step + (self.detail.search.step if self.detail else 0)


def code_steps(steps: int) -> int:
    """Return how many of a run's steps are on a code that needs some."""
    return min(CODE_STEPS, steps // 2)


class DetailedIterator:
    """Encode the detail of a code and search on from there; first search a code that is far off.

    Whether a step is one on the code follows from its number, the total and the start, so that a
    stopped run resumes as it would have continued.

    Args:
        render: Codes to true output, at least as large as the targets.
        lpips: The perceptual part of the loss.
        detail: Searches the detail.
        encode: The detail encoder.
        config: Choices that equation 1 leaves open, for the code.
        head: Renders the steps on the code, if there is one.
    """

    def __init__(
        self,
        render: Render,
        lpips: Perceptual,
        detail: DetailIterator,
        encode: EncodeDetail,
        config: IteratorConfig | None = None,
        head: HeadRender | None = None,
    ):
        self._code = LatentIterator(head.render if head else render, lpips, config)
        self._alone = TwoStageIterator(render, lpips, config, head)
        self._head, self._detail, self._encode = head, detail, encode

    def run(
        self,
        state: RefineState,
        target: Images,
        steps: int,
        on_step: Callable[[StepReport], bool] = lambda _report: True,
    ) -> None:
        """Do a number of updates in place, then score the last detail too.

        After steps on the code, its last evaluation and the detail's first bear the same number.
        If beginning with the detail fails, out of memory say, steps are on the code: up to where a
        code that is far off would go on with its detail, and if that fails again, all of them.

        Args:
            state: State to resume from; for a stopped run, give all the steps that remain.
            target: Images in [-1, 1].
            steps: Number of updates.
            on_step: Called with every evaluation; returning False stops the run.

        Raises:
            InvalidInputError: If codes and targets differ in number.
        """
        codes, total = state.codes, state.step + steps
        if state.detail is None:
            self._begin_detail(state, target, total, on_step)
        if state.detail is None:
            return
        offset = codes.step

        def on_detail(report: StepReport) -> bool:
            return on_step(replace(report, step=offset + report.step))

        self._detail.run(state.detail, codes.best_ws, target, total - state.step, on_detail)

    def _begin_detail(
        self,
        state: RefineState,
        target: Images,
        total: int,
        on_step: Callable[[StepReport], bool],
    ) -> None:
        """Begin the search of the detail, unless the run ends before."""
        codes = state.codes
        if codes.step == 0:
            state.detail = self._try(lambda: self._start_if_near(target, codes.ws))
            if state.detail is not None:
                return
        remaining = max(code_steps(total) - codes.step, 0)
        if not self._search_code(codes, target, remaining, on_step):
            return
        state.detail = self._try(lambda: self._start(target, codes.best_ws))
        if state.detail is None:
            self._alone.run(codes, target, total - codes.step, on_step)

    def _start(self, target: Images, ws: Codes) -> DetailState:
        return self._detail.start(self._encode(target, ws), target)

    def _start_if_near(self, target: Images, ws: Codes) -> DetailState | None:
        details = self._encode(target, ws)
        if self._detail.mse(details, ws, target) > NEAR:
            return None
        return self._detail.start(details, target)

    def _try(self, begin: Callable[[], DetailState | None]) -> DetailState | None:
        try:
            return begin()
        except RuntimeError:  # a device that is lost fails in the next step too
            _log.exception("no detail: going on with the code")
            return None

    def _search_code(
        self,
        state: IteratorState,
        target: Images,
        steps: int,
        on_step: Callable[[StepReport], bool],
    ) -> bool:
        """Return whether the run goes on."""
        goes_on = True

        def on_code(report: StepReport) -> bool:
            nonlocal goes_on
            goes_on = on_step(replace(report, by_head=self._head is not None))
            return goes_on

        if self._head:
            target = F.adaptive_avg_pool2d(target, self._head.size_px)
        self._code.run(state, target, steps, on_code)
        return goes_on
