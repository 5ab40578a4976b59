"""Takes jobs from the queue and runs them one at a time, until told to stop."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import redis

from model_core.inversion.refiner import Refiner
from service.jobs.lease import Claim, Films, Leases
from service.jobs.worker.held import MAX_RETRY_S, Intervals
from service.jobs.worker.metrics import WorkerTelemetry
from service.jobs.worker.run import Run
from service.observability import logs
from service.redis_keys import FILM

if TYPE_CHECKING:
    from service.jobs.worker.film_editors import FilmEditors

logger = logging.getLogger("service.jobs.worker")


class Worker:
    """Work through the queue.

    Args:
        leases: The queue.
        refiner: Runs the steps.
        intervals: How often a run writes to Redis.
        telemetry: The metrics.
        stopping: Whether the worker has been told to stop.
        films: Edits films; None leaves them to other workers.
    """

    def __init__(
        self,
        leases: Leases,
        refiner: Refiner,
        intervals: Intervals,
        telemetry: WorkerTelemetry,
        stopping: Callable[[], bool],
        films: "FilmEditors | None" = None,
    ) -> None:
        self._leases, self._refiner, self._intervals = leases, refiner, intervals
        self._telemetry, self._stopping = telemetry, stopping
        self._films = films
        self._was_refining = False

    def run(self) -> None:
        """Work until told to stop; a running job is handed back."""
        delay_s = 0.1
        while not self._stopping():
            try:
                claim = self._take()
            except redis.RedisError as err:
                self._telemetry.redis_errors.labels(op="take").inc()
                logger.warning("the queue does not answer: %s", err)
                time.sleep(delay_s)
                delay_s = min(2 * delay_s, MAX_RETRY_S)
                continue
            delay_s = 0.1
            if claim is not None:
                self._work(claim)
        try:
            self._leases.leave()
        except redis.RedisError as err:
            logger.warning("this worker's name could not be removed from the queue: %s", err)

    def _take(self) -> Claim | None:
        take = self._leases.take(self._films_taken)
        self._telemetry.heartbeat.set_to_current_time()
        self._telemetry.redelivered.inc(take.redelivered)
        self._telemetry.dead_lettered.inc(take.failed)
        self._telemetry.finished.labels(state="failed").inc(take.failed)
        return take.claim

    @property
    def _films_taken(self) -> Films:
        """Which films to take: where both kinds wait, they alternate."""
        if self._films is None:
            return "no"
        return "yes" if self._was_refining else "last"

    def _work(self, claim: Claim) -> None:
        token = logs.job_id.set(claim.job_id)
        self._telemetry.busy.set(1)
        if claim.fields["attempts"] == "1":
            waited_s = float(claim.fields["started"]) - float(claim.fields["created"])
            self._telemetry.wait.observe(waited_s)
        logger.info("claimed, attempt %s", claim.fields["attempts"])
        try:
            self._run(claim)
        finally:
            self._telemetry.busy.set(0)
            logs.job_id.reset(token)

    def _run(self, claim: Claim) -> None:
        rest = self._intervals, self._telemetry, self._stopping
        self._was_refining = claim.fields.get("kind") != FILM
        if self._was_refining:
            Run(self._leases, claim, self._refiner, *rest).work()
        elif self._films is not None:
            from service.jobs.worker.film_run import FilmRun  # needs the extra

            FilmRun(self._leases, claim, self._films, *rest).work()
