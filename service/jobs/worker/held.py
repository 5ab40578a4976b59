"""A job that this worker holds: heartbeats and its end, through a Redis that may not answer."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import redis

from model_core.errors import WplusError
from service.jobs.lease import Claim, Leases, Progress
from service.jobs.worker.metrics import WorkerTelemetry

PAUSE_S = 0.02  # between checks of the busy flag
MAX_RETRY_S = 4.0

T = TypeVar("T")

logger = logging.getLogger("service.jobs.worker")


class BadJobError(WplusError):
    """A job that neither this worker nor any like it can run."""


class LeaseLostError(Exception):
    """The job has gone to another worker, or may have."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often a run writes to Redis, and when a film makes way.

    Attributes:
        beat_s: Seconds between heartbeats.
        save_s: Seconds between saves of a job's state.
        film_turn_s: Seconds of work on a film before it makes way for refine jobs.
    """

    beat_s: float
    save_s: float
    film_turn_s: float = 60.0


class Held:
    """Hold one claimed job: its heartbeats come due, and its end is written once.

    Args:
        leases: Where the job came from.
        claim: The job.
        beat_s: Seconds between heartbeats.
        telemetry: The metrics.
    """

    def __init__(
        self, leases: Leases, claim: Claim, beat_s: float, telemetry: WorkerTelemetry
    ) -> None:
        self.leases, self.claim = leases, claim
        self._beat_s, self._telemetry = beat_s, telemetry
        self._held_s = time.monotonic()
        self.next_beat_s = 0.0
        self._retry_s = beat_s

    def beat(self, progress: Progress, state: bytes = b"") -> tuple[bool, bool]:
        """Renew the lease, publish progress, save a state.

        While Redis does not answer, the job goes on until the lease would have run out.

        Returns:
            Whether the job was cancelled, and whether Redis answered.

        Raises:
            LeaseLostError: If the job has gone to another worker, or may have.
        """
        now_s = time.monotonic()
        try:
            answer = self.leases.beat(self.claim, progress, state)
        except redis.RedisError as err:
            self._endure(err)
            self.next_beat_s = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)
            return False, False
        self._held_s = now_s
        self.next_beat_s, self._retry_s = now_s + self._beat_s, self._beat_s
        self._telemetry.heartbeat.set_to_current_time()
        if answer == "fenced":
            self._give_up()
        return answer == "cancel", True

    def insist(self, call: Callable[[], T]) -> T:
        """Retry a call until Redis answers, within the lease.

        Raises:
            LeaseLostError: If it does not answer before the lease must have run out.
        """
        delay_s = 0.1
        while True:
            try:
                return call()
            except redis.RedisError as err:
                self._endure(err)
            time.sleep(delay_s)
            delay_s = min(2 * delay_s, MAX_RETRY_S)

    def release(self, progress: Progress, state: bytes = b"") -> None:
        """Hand the job back.

        Raises:
            LeaseLostError: If it has gone to another worker, or may have.
        """
        if not self.insist(lambda: self.leases.release(self.claim, progress, state)):
            self._give_up()

    def finish(self, state: str, result: bytes, progress: Progress, ran_s: float) -> None:
        """End the job and count it.

        Raises:
            LeaseLostError: If it has gone to another worker, or may have.
        """
        if not self.insist(lambda: self.leases.finish(self.claim, state, result, progress)):
            self._give_up()
        self._telemetry.finished.labels(state=state).inc()
        self._telemetry.run.observe(ran_s)

    def step_aside(self, for_s: float, stopping: Callable[[], bool]) -> None:
        """Yield a shared device to synchronous requests, for at most that long."""
        end_s = time.monotonic() + for_s
        try:
            while self.leases.is_busy() and time.monotonic() < end_s and not stopping():
                time.sleep(PAUSE_S)
        except redis.RedisError:
            self._telemetry.redis_errors.labels(op="busy").inc()

    def _endure(self, err: redis.RedisError) -> None:
        """Tolerate a Redis that does not answer, unless the lease must have run out by now."""
        self._telemetry.redis_errors.labels(op="job").inc()
        logger.warning("Redis does not answer: %s", err)
        if time.monotonic() - self._held_s > self.leases.lease_s:
            raise LeaseLostError("Redis did not answer until the lease ran out") from err

    def _give_up(self) -> None:
        self._telemetry.fenced.inc()
        raise LeaseLostError("another worker has the job")
