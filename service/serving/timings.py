"""How long each stage of one request took, for its answer and for the metrics."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from service.observability.metrics import Telemetry
from service.serving.batcher import Answer, Out

QUEUE = "queue"
Span = tuple[float, float]
"""Start and end, on `time.monotonic`'s scale."""


class StageTimings:
    """Collect spans of time by stage.

    Concurrent work of one request (the frames of a morph, two photos) counts once: a stage's time
    is the time during which any of it was running.

    Args:
        op: The operation that the request asks for.
        telemetry: Publishes each measurement.
        deadline_s: Event-loop time by which the request must be answered; None for no limit.
    """

    def __init__(self, op: str, telemetry: Telemetry, deadline_s: float | None = None) -> None:
        self.op = op
        self.deadline_s = deadline_s
        self._telemetry = telemetry
        self._spans: dict[str, list[Span]] = {}
        self._ran: list[Span] = []
        self._started_s = time.monotonic()

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Count the block's time towards a stage."""
        started_s = time.monotonic()
        try:
            yield
        finally:
            ended_s = time.monotonic()
            self._spans.setdefault(stage, []).append((started_s, ended_s))
            self._publish(stage, ended_s - started_s)

    def take(self, stage: str, answer: Answer[Out]) -> Out:
        """Record a batcher's answer, with its wait as `queue`, and return its value.

        The metrics get the answer's share of its run, so that their sum is the device's time.
        """
        began_s = answer.ended_s - answer.ran_s
        self._spans.setdefault(QUEUE, []).append((began_s - answer.queued_s, began_s))
        self._spans.setdefault(stage, []).append((began_s, answer.ended_s))
        self._ran.append((began_s, answer.ended_s))
        self._publish(QUEUE, answer.queued_s)
        self._publish(stage, answer.ran_s / answer.batch_size)
        return answer.value

    def as_ms(self) -> dict[str, float]:
        """Milliseconds by stage, and the `total` since the request's handler started.

        `queue` is the time spent waiting for the device while it did nothing for this request.
        """
        seconds = {stage: _covered_s(spans) for stage, spans in self._spans.items()}
        if QUEUE in seconds:
            both = [*self._spans[QUEUE], *self._ran]
            seconds[QUEUE] = _covered_s(both) - _covered_s(self._ran)
        seconds["total"] = time.monotonic() - self._started_s
        return {stage: round(1000 * value, 2) for stage, value in seconds.items()}

    def as_header(self) -> str:
        """The same as a Server-Timing header."""
        return ", ".join(f"{stage};dur={ms}" for stage, ms in self.as_ms().items())

    def _publish(self, stage: str, seconds: float) -> None:
        self._telemetry.stage_duration.labels(op=self.op, stage=stage).observe(seconds)


def _covered_s(spans: Iterable[Span]) -> float:
    """Return the seconds that spans cover together, overlaps counted once."""
    covered_s, until_s = 0.0, 0.0
    for start_s, end_s in sorted(spans):
        covered_s += max(end_s - max(start_s, until_s), 0.0)
        until_s = max(until_s, end_s)
    return covered_s
