"""The time that each stage of one request took, for its answer and for the metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.batcher import Answer, Out
from service.telemetry import Telemetry


class Stages:
    """Collect seconds by stage; a stage that runs twice adds up.

    Args:
        op: The operation that the request asks for.
        telemetry: Where each measurement is published.
        deadline_s: Event-loop time by which the request must be answered; None if any will do.
    """

    def __init__(self, op: str, telemetry: Telemetry, deadline_s: float | None = None) -> None:
        self.op = op
        self.deadline_s = deadline_s
        self._telemetry = telemetry
        self._seconds: dict[str, float] = {}
        self._started_s = time.perf_counter()

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds towards a stage."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
        self._telemetry.stage_duration.labels(op=self.op, stage=stage).observe(seconds)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Count the time of the block towards a stage."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started_s)

    def take(self, stage: str, answer: Answer[Out]) -> Out:
        """Count a batcher's answer, its wait towards `queue`, and hand out its value."""
        self.add("queue", answer.queued_s)
        self.add(stage, answer.ran_s)
        return answer.value

    def as_ms(self) -> dict[str, float]:
        """Milliseconds by stage, and the `total` since the request's handler began."""
        rows = {stage: round(1000 * seconds, 2) for stage, seconds in self._seconds.items()}
        rows["total"] = round(1000 * (time.perf_counter() - self._started_s), 2)
        return rows

    def as_header(self) -> str:
        """The same as a Server-Timing header."""
        return ", ".join(f"{stage};dur={ms}" for stage, ms in self.as_ms().items())
