"""Record an iterator run: measure its best image so far, and time its steps without measuring."""

import statistics
from collections.abc import Callable, Collection

import torch
from jaxtyping import Float
from torch import Tensor

from model_core.evaluation.records import Record
from model_core.images import to_uint8
from model_core.inversion.iterator import StepReport
from model_core.runtime.clock import read_clock
from model_core.shapes import SingleImage


class Recorder:
    """Collect a record while a method embeds one face.

    Args:
        scorer: Measures images of the face.
        device: Device of the scorer and the method.
        measured: Step counts at which to measure; the last evaluation is always measured.
        kept: Step counts at which to keep the image; the last one is always kept.
        last: Total number of steps.
        progress: Called at each evaluation.
    """

    def __init__(
        self,
        scorer: Callable[[SingleImage], Float[Tensor, " measures"]],
        device: torch.device,
        measured: Collection[int],
        kept: Collection[int],
        last: int,
        progress: Callable[[], object],
    ):
        self._scorer, self._device, self._progress = scorer, device, progress
        self._measured, self._kept = {*measured, last}, {*kept, last}
        self._leg_start, self._best = 0, torch.inf
        self._by_head = False
        self._draw: Callable[[], SingleImage] | None = None
        self._draw_best: Callable[[], SingleImage] | None = None
        self._best_img: SingleImage | None = None
        self._figures: Float[Tensor, " measures"] | None = None
        self._rows: dict[int, Float[Tensor, " measures"]] = {}
        self._images: dict[int, Tensor] = {}
        self._times: list[float] = []
        self._start_s = 0.0
        self._since = self._now()

    def wrap(
        self, render: Callable[..., SingleImage], measured: Callable[..., SingleImage] | None = None
    ) -> Callable[..., SingleImage]:
        """Wrap a renderer to remember its last image.

        Args:
            render: Renderer the optimisation uses.
            measured: Renderer of the measured images, if that is another one.
        """

        def wrapped(*args: Tensor) -> Tensor:
            img = render(*args)
            if measured:
                given = [arg.detach() for arg in args]
                self._draw = lambda: measured(*given)
            else:
                kept = img.detach()
                self._draw = lambda: kept
            return img

        return wrapped

    def started(self) -> None:
        """Record that the initial code has been computed."""
        self._start_s = self._now() - self._since
        self._since = self._now()

    def next_leg(self, steps: int) -> None:
        """Start a second optimisation, whose losses are not comparable to the first's.

        The last evaluation of the first one is followed by no step and is not timed.
        """
        self._leg_start, self._best = steps, torch.inf
        self._times.pop()
        self._since = self._now()

    def on_step(self, report: StepReport) -> bool:
        """Record an evaluation; return True to continue the run."""
        self._times.append(self._now() - self._since)
        if self._by_head and not report.by_head:
            self._best = torch.inf  # losses of the head's images are not comparable
        self._by_head = report.by_head
        if report.loss.item() < self._best or self._draw_best is None:
            self._best, self._draw_best = report.loss.item(), self._draw
            self._best_img = self._figures = None
        step = self._leg_start + report.step
        if step in self._measured:
            if self._figures is None:
                self._figures = self._scorer(self._draw_best_img())
            self._rows[step] = self._figures
        if step in self._kept:
            self._images[step] = to_uint8(self._draw_best_img())[0]
        self._progress()
        self._since = self._now()
        return True

    def _now(self) -> float:
        return read_clock(self._device)

    @torch.no_grad()
    def _draw_best_img(self) -> SingleImage:
        if self._best_img is None:
            assert self._draw_best is not None  # noqa: S101
            self._best_img = self._draw_best()
        return self._best_img

    def record(self, ws: Float[Tensor, "1 num_ws w_dim"]) -> Record:
        """Return the record, on the CPU; the last evaluation of a run is followed by no step."""
        steps = self._times[:-1]
        return Record(
            steps=list(self._rows),
            figures=torch.stack(list(self._rows.values())).cpu(),
            marks=list(self._images),
            images=torch.stack(list(self._images.values())).cpu(),
            ws=ws.cpu(),
            start_s=self._start_s,
            step_s=statistics.median(steps) if steps else 0.0,
            total_s=self._start_s + sum(steps),
        )
