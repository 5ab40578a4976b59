"""One job from its claim to its end: steps, with heartbeats and saves of its state in between.

Only the step loop sends heartbeats, so that a hung device lets the lease run out.
"""

import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

import numpy as np

from model_core.errors import CheckpointError, WplusError
from model_core.inversion.detailed import RefineState
from model_core.inversion.iterator import Phase, StepReport
from model_core.inversion.refiner import Refiner
from model_core.metrics.pixels import PEAK_TO_PEAK
from model_core.shapes import DetailTensor, SquarePixels
from service.jobs.lease import Claim, Leases
from service.jobs.payloads import Curve, JobInput, Outcome
from service.jobs.worker.held import BadJobError, Held, Intervals, LeaseLostError
from service.jobs.worker.job_state import JobState
from service.jobs.worker.metrics import WorkerTelemetry

PACE_STEPS = 3  # timed steps needed before the time left is estimated
PACE_WINDOW = 9

Stop = Literal["target_lpips", "time_budget", "cancelled", "stopping"]

logger = logging.getLogger("service.jobs.worker")


class Run:
    """Refine one claimed job.

    Args:
        leases: Where the job came from.
        claim: The job.
        refiner: Runs the steps.
        intervals: How often the run writes to Redis.
        telemetry: The metrics.
        stopping: Whether the worker has been told to stop.
    """

    def __init__(
        self,
        leases: Leases,
        claim: Claim,
        refiner: Refiner,
        intervals: Intervals,
        telemetry: WorkerTelemetry,
        stopping: Callable[[], bool],
    ) -> None:
        self._leases, self._claim, self._refiner = leases, claim, refiner
        self._intervals, self._telemetry, self._stopping = intervals, telemetry, stopping
        self._held = Held(leases, claim, intervals.beat_s, telemetry)
        self._steps = int(claim.fields["steps"])
        self._reached = int(claim.fields.get("step", 0))
        self._time_budget_s = float(claim.fields.get("time_budget_s", "inf"))
        self._target_lpips = float(claim.fields.get("target_lpips", "-inf"))
        self._rows: list[tuple[float, float, float, float]] = []
        self._stop: Stop | None = None
        # A job that an older service has queued has no such field: details are the default.
        self._detail = bool(int(claim.fields.get("detail", "1"))) and refiner.details
        self._state: RefineState | None = None
        self._target: SquarePixels | None = None
        self._similarity: float | None = None
        self._ran_before_s = 0.0
        self._step_s = 0.0
        self._paces_s: deque[float] = deque(maxlen=PACE_WINDOW)
        self._paced: tuple[Phase, bool, bool] | None = None
        self._reported_s = math.nan
        self._started_s = self._stepped_s = time.monotonic()
        self._next_save_s = 0.0

    def work(self) -> None:
        """Run the job to its end, or as far as this worker may."""
        try:
            self._work()
        except LeaseLostError as err:
            logger.warning("dropped the job: %s", err)

    def _work(self) -> None:
        try:
            self._beat()
            self._refine()
        except WplusError as err:
            logger.exception("failed")
            self._finish("failed", "bad-job", str(err))
        except RuntimeError:  # whatever torch raises
            logger.exception("failed")
            self._refiner.check_device()  # a lost device ends the worker, not the job
            self._finish("failed", "internal", "See the worker's log.")
        else:
            if self._stop == "stopping":
                self._release()
            else:
                self._finish("cancelled" if self._stop == "cancelled" else "succeeded")

    def _refine(self) -> None:
        if self._stop is not None:
            return
        data = self._held.insist(lambda: self._leases.read_input(self._claim))
        if data is None:
            raise BadJobError("The job has no input.")
        wanted = self._claim.fields.get("fingerprint")
        if wanted != self._refiner.fingerprint:
            raise BadJobError(
                f"job must be for the generator {self._refiner.fingerprint[:12]}, got {wanted}"
            )
        job = JobInput.unpack(data)
        self._target = job.target
        self._state = self._resume() or self._refiner.start(job.ws)
        self._started_s = self._stepped_s = time.monotonic()
        remaining = self._steps - self._state.step

        def on_step(report: StepReport) -> bool:
            return self._on_step(report, job.target)

        self._refiner.run(self._state, job.target, remaining, on_step, self._detail)

    def _resume(self) -> RefineState | None:
        data = self._held.insist(lambda: self._leases.read_state(self._claim))
        if data is None:
            return None
        try:
            fingerprint = self._refiner.detail_fingerprint
            saved = JobState.unpack(data, self._refiner.device, fingerprint)
        except CheckpointError:
            logger.exception("the saved state cannot be read; starting over")
            return None
        # The curve is longer than the run if a search of a detail was left out.
        self._rows = [tuple(row) for row in saved.curve.tolist()][: saved.state.step + 1]
        self._ran_before_s = saved.ran_s
        logger.info("resuming at step %d", saved.state.step)
        return saved.state

    def _on_step(self, report: StepReport, target: SquarePixels) -> bool:
        now_s = time.monotonic()
        self._step_s, self._stepped_s = now_s - self._stepped_s, now_s
        self._telemetry.steps.inc()
        self._telemetry.step.observe(self._step_s)
        self._note(report)
        self._measure_pace(report, now_s)
        self._stop = self._stop or self._reason_to_stop(report)
        beats = now_s >= self._held.next_beat_s
        if beats or self._stop is not None or report.step >= self._steps:
            self._similarity = self._refiner.identity_similarity(target, report)
        if self._stop is None and beats:
            self._beat()
        if self._stop is None:
            self._step_aside()
        return self._stop is None

    def _note(self, report: StepReport) -> None:
        """Add to the curve; steps repeated after the job moved replace their first points."""
        mse = report.mse.item()
        psnr = 10 * math.log10(PEAK_TO_PEAK**2 / mse) if mse > 0 else math.inf
        del self._rows[report.step :]
        self._rows.append((report.step, report.loss.item(), psnr, report.lpips.item()))

    def _measure_pace(self, report: StepReport, now_s: float) -> None:
        """Record the time between steps, starting over when steps are computed differently."""
        way = (report.phase, report.by_head, self._compiling)
        if way == self._paced:
            self._paces_s.append(now_s - self._reported_s)
        else:
            self._paces_s.clear()
        self._paced, self._reported_s = way, now_s

    @property
    def _compiling(self) -> bool:
        return self._refiner.is_compiling(self._detail)

    @property
    def _eta_s(self) -> float | None:
        """Estimated seconds left; None if not known yet."""
        if self._paced is None or self._compiling or len(self._paces_s) < PACE_STEPS:
            return None
        if self._detail and self._paced[0] == "code":  # steps on the detail take another time
            return None
        left_s = (self._steps - self._rows[-1][0]) * statistics.median(self._paces_s)
        return min(left_s, max(self._time_budget_s - self._ran_s, 0.0))

    def _reason_to_stop(self, report: StepReport) -> Stop | None:
        if self._stopping():
            return "stopping"
        if not report.by_head and report.lpips.item() <= self._target_lpips:
            return "target_lpips"
        return "time_budget" if self._ran_s >= self._time_budget_s else None

    def _beat(self) -> None:
        """Renew the lease; save the state if that is due."""
        now_s = time.monotonic()
        saved = self._packed_state() if now_s >= self._next_save_s else b""
        cancelled, answered = self._held.beat(self._progress(saved), saved)
        if saved and answered:
            self._next_save_s = now_s + self._intervals.save_s
        if cancelled:
            self._stop = "cancelled"

    def _step_aside(self) -> None:
        """Yield a shared device to synchronous requests, for at most half of the time."""
        self._held.step_aside(self._step_s, self._stopping)
        self._stepped_s = time.monotonic()

    @property
    def _ran_s(self) -> float:
        return self._ran_before_s + time.monotonic() - self._started_s

    def _progress(self, saved: bytes = b"") -> dict[str, str | int | float]:
        """Return what to publish.

        Args:
            saved: The state that is saved with it, if any.
        """
        if not self._rows:
            return {}
        step, loss, psnr, lpips = self._rows[-1]
        eta_s, similarity = self._eta_s, self._similarity
        progress: dict[str, str | int | float] = {
            "lpips_net": self._refiner.lpips_name,
            "phase": "" if self._paced is None else self._paced[0],
            "step": int(step),
            "loss": round(loss, 6),
            "psnr": round(psnr, 4),
            "lpips": round(lpips, 6),
            "identity_similarity": "" if similarity is None else round(similarity, 4),
            "eta_s": "" if eta_s is None else round(eta_s, 1),
            "ran_s": round(self._ran_s, 3),
        }
        # Steps that the previous claim had already reached are not progress.
        if saved and step > self._reached:
            progress["saved"] = int(step)
        return progress

    def _curve(self) -> Curve:
        return np.asarray(self._rows, np.float32).reshape(-1, 4)

    def _outcome(self, state: RefineState) -> Outcome:
        """Build the result from the best code, or the latest one if it has reached the target."""
        latest = self._stop == "target_lpips"  # the one with the best loss may miss the target
        # In the search of a detail the code stays the best one.
        ws = state.codes.ws if latest and state.detail is None else state.codes.best_ws
        detail = self._find_detail(state, latest)
        return Outcome(ws[0].cpu(), self._curve(), detail, self._refiner.detail_fingerprint)

    def _find_detail(self, state: RefineState, latest: bool = False) -> DetailTensor | None:
        """Return what the code still leaves out of the face, if that is wanted."""
        if not self._detail or self._target is None:
            return None
        try:
            return self._refiner.detail_of(state, self._target, latest)
        except RuntimeError:  # out of memory, say: the code is worth having without it
            logger.exception("no detail for the code")
            return None

    def _packed_state(self) -> bytes:
        """Serialise the run's state; empty before it has begun."""
        state = self._state
        if state is None:
            return b""
        detail = self._find_detail(state)
        return JobState(
            state, self._curve(), self._ran_s, detail, self._refiner.detail_fingerprint
        ).pack()

    def _release(self) -> None:
        saved = self._packed_state()
        self._held.release(self._progress(saved), saved)
        logger.info("handed back at step %d", self._state.step if self._state else 0)

    def _finish(self, state: str, error_type: str = "", error: str = "") -> None:
        result = b""
        if self._state is not None and self._rows:
            result = self._outcome(self._state).pack()
        progress = self._progress()
        if error_type:
            progress |= {"error_type": error_type, "error": error}
        elif state == "succeeded":
            progress["ended_by"] = self._stop or "steps"
        self._held.finish(state, result, progress, self._ran_s)
        logger.info("%s at step %s", state, progress.get("step", 0))
