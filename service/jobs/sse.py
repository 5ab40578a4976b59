"""A job's events as server-sent events; the ids are Redis's, so that a client resumes by them."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable

from service.errors import JobsUnavailableError
from service.jobs.layout import TERMINAL
from service.jobs.schemas import job_progress
from service.jobs.store import Fields, JobStore

EVENT_ID = re.compile(r"\d{1,20}-\d{1,20}")
BEGINNING = "0-0"
PING_S = 15.0
RETRY_MS = 2000

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def resume_point(last_event_id: str | None) -> str:
    """Read Last-Event-ID; the beginning where it is none of ours."""
    given = last_event_id or ""
    return given if EVENT_ID.fullmatch(given) else BEGINNING


async def stream(
    store: JobStore, job_id: str, after: str, draining: Callable[[], bool]
) -> AsyncIterator[str]:
    """Tell of a job until it has ended, the service is stopping, or Redis is silent.

    In the latter two cases a client comes back by itself, and misses nothing.

    Args:
        store: The jobs.
        job_id: Which.
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
    data = {"state": fields["state"], "progress": job_progress(fields).model_dump(mode="json")}
    if "error_type" in fields:
        data["error_type"] = fields["error_type"]
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
