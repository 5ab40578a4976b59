"""A job's events as server-sent events; their ids are Redis's, so that a client can resume."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.errors import JobsUnavailableError, OverloadedError
from service.jobs.schemas import progress_of
from service.jobs.store import Fields, JobStore
from service.redis_keys import TERMINAL

EVENT_ID = re.compile(r"\d{1,20}-\d{1,20}")
BEGINNING = "0-0"
PING_S = 15.0
RETRY_MS = 2000

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def resume_point(store: JobStore, job_id: str, last_event_id: str | None) -> str | None:
    """Find the event after which to resume.

    Args:
        store: The jobs.
        job_id: The job.
        last_event_id: The last event that the client says it has; one that is not of this job
            restarts from the beginning.

    Returns:
        The event's id; None if the client has the last event of a job that has ended.
    """
    given = (last_event_id or "").strip()
    if not EVENT_ID.fullmatch(given):
        return BEGINNING
    is_over = await store.is_over(job_id)  # first: an event may be added between the two calls
    last = await store.last_event(job_id)
    if _order(given) > _order(last):
        return BEGINNING
    return None if is_over and _order(given) == _order(last) else given


def _order(event_id: str) -> tuple[int, ...]:
    return tuple(map(int, event_id.split("-")))


class Streams:
    """Places for what stays open for long, limited in number as each holds a connection or a file.

    Args:
        limit: Most at once.
        kind: What they are, in the message of a refusal.
    """

    def __init__(self, limit: int, kind: str = "event streams") -> None:
        self._limit, self._kind, self._taken = limit, kind, 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            OverloadedError: If all are taken.
        """
        if self._taken >= self._limit:
            raise OverloadedError(f"The service is at its limit of {self._limit} {self._kind}.")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class EventStream(StreamingResponse):
    """A stream that takes its place before its first byte, while it can still be refused.

    Args:
        events: What is sent.
        streams: The places.
    """

    def __init__(self, events: AsyncIterator[str], streams: Streams) -> None:
        super().__init__(events, media_type="text/event-stream", headers=HEADERS)
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._streams.enter():
            await super().__call__(scope, receive, send)


async def stream(
    store: JobStore, job_id: str, after: str, draining: Callable[[], bool]
) -> AsyncIterator[str]:
    """Stream a job's events until it has ended, the service stops, or Redis does not answer.

    In the latter two cases a client reconnects by itself and misses nothing.

    Args:
        store: The jobs.
        job_id: The job.
        after: Id of the last event that the client has.
        draining: Whether the service is stopping.
    """
    yield f"retry: {RETRY_MS}\n\n"
    told_s = time.monotonic()
    while not draining():
        try:
            rows = await store.events(job_id, after)
            if not rows and await store.is_over(job_id):
                return
        except JobsUnavailableError:
            return
        for event_id, fields in rows:
            yield _event(event_id, fields)
            after = event_id
        if rows:
            told_s = time.monotonic()
            if rows[-1][1]["state"] in TERMINAL:
                return
        elif time.monotonic() - told_s >= PING_S:
            yield ": still here\n\n"
            told_s = time.monotonic()


def _event(event_id: str, fields: Fields) -> str:
    name = "end" if fields["state"] in TERMINAL else "progress"
    data = {"state": fields["state"], "progress": progress_of(fields).model_dump(mode="json")}
    if "error_type" in fields:
        data["error_type"] = fields["error_type"]
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
