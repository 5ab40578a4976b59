"""The time that each stage of one request took, for its answer and for the metrics."""

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

    What a request does side by side (the frames of a morph, two photos) counts once: a stage's
    time is that during which any of it was under way.

    Args:
        op: The operation that the request asks for.
        telemetry: Where each measurement is published.
        deadline_s: Event-loop time by which the request must be answered; None if any will do.
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
        """Count the time of the block towards a stage."""
        started_s = time.monotonic()
        try:
            yield
        finally:
            ended_s = time.monotonic()
            self._spans.setdefault(stage, []).append((started_s, ended_s))
            self._publish(stage, ended_s - started_s)

    def take(self, stage: str, answer: Answer[Out]) -> Out:
        """Count a batcher's answer, its wait towards `queue`, and hand out its value.

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
        """Milliseconds by stage, and the `total` since the request's handler began.

        `queue` is the time of waiting for the device while nothing of the request had it.
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
    """Return the seconds that spans cover together."""
    covered_s, until_s = 0.0, 0.0
    for start_s, end_s in sorted(spans):
        covered_s += max(end_s - max(start_s, until_s), 0.0)
        until_s = max(until_s, end_s)
    return covered_s
