"""One film from its claim to its end, or until it makes way.

The networks may compute for long without a frame being done (they load, or the frames that an
earlier worker has finished are decoded again), so a thread sends the heartbeats. It falls silent if
nothing has happened for ten minutes, so that a hung device lets the lease run out.
"""

import contextvars
import errno
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import redis

from model_core.errors import Stopped, WplusError
from model_core.films.editing import FilmProgress, FilmReport, edit_film
from service.errors import rule_of
from service.jobs.film_sweep import keep_result
from service.jobs.lease import Claim, Leases, Progress
from service.jobs.worker.film_editors import FilmEditors
from service.jobs.worker.film_files import FilmFiles, job_folder
from service.jobs.worker.held import Held, Intervals, LeaseLostError
from service.jobs.worker.metrics import WorkerTelemetry

SILENT_S = 600.0
PACE_FRAMES = 64
LEAST_PACE_FRAMES = 9  # frames come in batches
LEAST_WAIT_S = 0.01
LOOK_FRAMES = 100  # written between two looks at the disk
FULL = (errno.ENOSPC, errno.EDQUOT)
Stop = Literal["cancelled", "stopping", "making way", "lost"]

logger = logging.getLogger("service.jobs.worker")


class FilmRun:
    """Edit one claimed film.

    Args:
        leases: Where the job came from.
        claim: The job.
        editors: Makes what edits it.
        intervals: How often the run writes to Redis, and when it makes way.
        telemetry: The metrics.
        stopping: Whether the worker has been told to stop.
    """

    def __init__(
        self,
        leases: Leases,
        claim: Claim,
        editors: FilmEditors,
        intervals: Intervals,
        telemetry: WorkerTelemetry,
        stopping: Callable[[], bool],
    ) -> None:
        self._leases, self._claim, self._editors = leases, claim, editors
        self._intervals, self._telemetry, self._stopping = intervals, telemetry, stopping
        self._held = Held(leases, claim, intervals.beat_s, telemetry)
        self._stop: Stop | None = None
        self._told: FilmProgress | None = None
        self._paces: deque[float] = deque(maxlen=PACE_FRAMES)
        self._started_s = self._moved_s = self._resumed_s = time.monotonic()
        self._first_s: float | None = None  # when the first frame of this turn was done
        self._eta_s: float | None = None
        self._refine_waits = False
        self._parts: int | None = None
        self._files: FilmFiles | None = None

    def work(self) -> None:
        """Edit the film to its end, or as far as this worker may."""
        try:
            self._work()
        except LeaseLostError as err:
            logger.warning("dropped the film: %s", err)

    def _work(self) -> None:
        claim = self._claim
        folder = job_folder(self._editors.root, claim.fields["queue"], claim.job_id)
        files = self._files = FilmFiles(folder, claim.fence)
        try:
            with self._beating(), files.in_use():
                target, report = self._edit(files)
        except Stopped:
            self._end_stopped(folder)
        except WplusError as err:
            logger.exception("failed")
            rule = rule_of(type(err))
            self._fail(folder, rule.code if rule.status < 500 else "bad-job", str(err))
        except Exception as err:  # whatever torch, the disk and FFmpeg raise about this film
            logger.exception("failed")
            if isinstance(err, OSError) and err.errno in FULL:
                self._fail(folder, "disk-full", "The disk for films is full.")
            else:
                self._editors.check_device()  # a lost device ends the worker, not the job
                self._fail(folder, "internal", "See the worker's log.")
        else:
            self._succeed(folder, target, report)

    def _edit(self, files: FilmFiles) -> tuple[Path, FilmReport]:
        editor = self._editors.editor(self._claim.fields)
        self._moved_s = self._resumed_s = time.monotonic()
        if self._should_stop(files):  # loading the networks takes long
            raise Stopped("stopped before the first frame")
        files.inherit(editor)
        target = files.target(editor.limits)
        self._editors.marker.check(target)
        logger.info("editing, %d parts are finished", files.parts)
        report = edit_film(
            files.source,
            target,
            editor,
            work=files.work,
            progress=lambda progress: self._on_frame(progress, files),
            should_stop=lambda: self._should_stop(files),
        )
        self._editors.marker.mark(target)
        return target, report

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Send heartbeats while the block runs."""
        done = threading.Event()
        context = contextvars.copy_context()  # the job's id, for the log
        thread = threading.Thread(target=context.run, args=(self._beat, done), name="heartbeat")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _beat(self, done: threading.Event) -> None:
        """Renew the lease, while something moves, until the work is done or the job is lost."""
        wait_s, is_silent = 0.0, False
        while not done.wait(wait_s):
            was_silent, is_silent = is_silent, time.monotonic() - self._moved_s > SILENT_S
            if is_silent:
                if not was_silent:
                    logger.error("no frame for %g s: no heartbeats until there is one", SILENT_S)
                wait_s = self._intervals.beat_s
                continue
            try:
                cancelled, _ = self._held.beat(self._progress())
                self._refine_waits = self._leases.refine_jobs_wait()
            except LeaseLostError:
                self._stop = "lost"
                return
            except redis.RedisError:
                self._telemetry.redis_errors.labels(op="job").inc()
            else:
                self._stop = "cancelled" if cancelled else self._stop
            wait_s = max(self._held.next_beat_s - time.monotonic(), LEAST_WAIT_S)

    def _on_frame(self, progress: FilmProgress, files: FilmFiles) -> None:
        if progress.done % LOOK_FRAMES == 0:
            files.check_room(self._editors.max_bytes)
        now_s = time.monotonic()
        if self._told is None or progress.phase != self._told.phase:
            self._paces.clear()
        self._moved_s = now_s
        self._paces.append(now_s)
        self._first_s = self._first_s or now_s
        self._told, self._eta_s = progress, self._estimate_s(progress)
        self._telemetry.film_frames.labels(phase=progress.phase).inc()

    def _should_stop(self, files: FilmFiles) -> bool:
        if self._stop is None and self._stopping():
            self._stop = "stopping"
        if self._stop is None and self._makes_way(files):
            self._stop = "making way"
        if self._stop is None:
            self._held.step_aside(time.monotonic() - self._resumed_s, self._stopping)
            self._resumed_s = self._moved_s = time.monotonic()
        return self._stop is not None

    def _makes_way(self, files: FilmFiles) -> bool:
        """Whether to let refine jobs go first: when a turn is over, and a part has been finished.

        What it takes to go on where an earlier turn ended does not count towards a turn, which is
        at least as long as that.
        """
        if not self._refine_waits or self._told is None or self._first_s is None:
            return False
        turn_s = max(self._intervals.film_turn_s, self._first_s - self._started_s)
        if self._told.phase == "join" or time.monotonic() - self._first_s < turn_s:
            return False
        if self._parts is None:
            self._parts = files.parts
        return files.parts > self._parts

    def _estimate_s(self, progress: FilmProgress) -> float | None:
        """Estimate the seconds left; None if not known yet: faces are found faster than edited."""
        paces, total = self._paces, progress.total
        if total is None or progress.phase == "read" or len(paces) < LEAST_PACE_FRAMES:
            return None
        return (total - progress.done) * (paces[-1] - paces[0]) / (len(paces) - 1)

    def _progress(self) -> dict[str, str | int | float]:
        told, eta_s = self._told, self._eta_s
        if told is None or self._files is None:
            return {}
        progress: dict[str, str | int | float] = {
            "phase": told.phase,
            "done": told.done,
            "total": "" if told.total is None else told.total,
            "eta_s": "" if eta_s is None else round(eta_s, 1),
        }
        with suppress(OSError):  # a disk that is away must not end heartbeats: the last value stays
            progress["saved"] = self._files.parts
        return progress

    def _end_stopped(self, folder: Path) -> None:
        if self._stop == "cancelled":
            self._finish("cancelled", self._progress())
            keep_result(folder, None)
            return
        if self._stop == "lost":
            raise LeaseLostError("another worker has the film, or Redis does not answer")
        self._held.release(self._progress())
        logger.info("handed back (%s)", self._stop)

    def _fail(self, folder: Path, kind: str, detail: str) -> None:
        if self._stop == "lost":
            raise LeaseLostError("another worker has the film, or Redis does not answer")
        self._finish("failed", self._progress() | {"error_type": kind, "error": detail})
        keep_result(folder, None)

    def _succeed(self, folder: Path, target: Path, report: FilmReport) -> None:
        figures = {name: value for name, value in asdict(report).items() if name != "seconds"}
        try:
            figures["size_bytes"] = target.stat().st_size
            about = {"result": target.name, "report": json.dumps(figures)}
            self._finish("succeeded", self._progress() | about)
        except FileNotFoundError as err:
            raise LeaseLostError("another worker has finished the film") from err
        except LeaseLostError:
            target.unlink(missing_ok=True)
            raise
        keep_result(folder, target.name)

    def _finish(self, state: str, progress: Progress) -> None:
        self._held.finish(state, b"", progress, time.monotonic() - self._started_s)
        logger.info("%s", state)
