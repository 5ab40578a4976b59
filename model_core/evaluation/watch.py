"""Watch an iterator at work: measure the best image so far, and time the steps without that."""

import statistics
import time
from collections.abc import Callable, Collection

import torch
from jaxtyping import Float
from torch import Tensor

from model_core.evaluation.faces import to_bytes
from model_core.evaluation.judge import FaceJudge
from model_core.evaluation.records import Record
from model_core.iterator import StepReport

Image = Float[Tensor, "1 3 height width"]


class Watch:
    """Collects a record while a system works on one face.

    Args:
        judge: Measures images of the face.
        measured: Numbers of steps after which to measure; the last evaluation always is.
        kept: Those after which to keep the image, likewise.
        last: Steps in all.
        progress: Called at each evaluation.
    """

    def __init__(
        self,
        judge: FaceJudge,
        measured: Collection[int],
        kept: Collection[int],
        last: int,
        progress: Callable[[], object],
    ):
        self._judge, self._progress = judge, progress
        self._measured, self._kept = {*measured, last}, {*kept, last}
        self._leg_start, self._best = 0, torch.inf
        self._img: Image | None = None
        self._best_img: Image | None = None
        self._figures: Float[Tensor, " measures"] | None = None
        self._rows: dict[int, Float[Tensor, " measures"]] = {}
        self._images: dict[int, Tensor] = {}
        self._times: list[float] = []
        self._start_s = 0.0
        self._since = time.perf_counter()

    def see(self, render: Callable[..., Image]) -> Callable[..., Image]:
        """Return the renderer, its last image remembered."""

        def seen(*args: Tensor) -> Tensor:
            img = render(*args)
            self._img = img.detach()
            return img

        return seen

    def started(self) -> None:
        """Note that the start's code is there."""
        self._start_s = time.perf_counter() - self._since
        self._since = time.perf_counter()

    def next_leg(self, steps: int) -> None:
        """Begin another search after some steps: its losses are not comparable."""
        self._leg_start, self._best = steps, torch.inf
        self._since = time.perf_counter()

    def on_step(self, report: StepReport) -> bool:
        """Take an evaluation, and have the run go on."""
        self._times.append(time.perf_counter() - self._since)
        assert self._img is not None  # noqa: S101
        if report.loss.item() < self._best or self._best_img is None:
            self._best, self._best_img, self._figures = report.loss.item(), self._img, None
        step = self._leg_start + report.step
        if step in self._measured:
            if self._figures is None:
                self._figures = self._judge(self._best_img)
            self._rows[step] = self._figures
        if step in self._kept:
            self._images[step] = to_bytes(self._best_img)[0]
        self._progress()
        self._since = time.perf_counter()
        return True

    def record(self, ws: Float[Tensor, "1 num_ws w_dim"]) -> Record:
        """Return what was seen. The last evaluation of a run has no step behind it."""
        steps = self._times[:-1]
        return Record(
            steps=list(self._rows),
            figures=torch.stack(list(self._rows.values())),
            marks=list(self._images),
            images=torch.stack(list(self._images.values())),
            ws=ws,
            start_s=self._start_s,
            step_s=statistics.median(steps) if steps else 0.0,
            total_s=self._start_s + sum(steps),
        )
