"""The service's side of the jobs: submit, look up, watch, cancel."""

import re
import secrets
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis
import redis.asyncio
from prometheus_client import Counter

from service.errors import (
    IdempotencyError,
    JobQueueFullError,
    JobsUnavailableError,
    UnknownJobError,
)
from service.jobs.payloads import JobInput, Outcome
from service.redis_keys import (
    BLOCK_MS,
    FILM,
    GROUP,
    QUEUE_ID,
    QUEUED,
    SCRIPT,
    STREAM,
    TERMINAL,
    idempotency_name,
    job_key,
    owner_key,
    waiting_key,
)

JOB_ID = re.compile(r"[A-Za-z0-9_-]{22}")
UNQUEUED_PHOTO_S = 300
"""Seconds that a photo lasts whose job is not queued in the end."""

Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be submitted.

    Attributes:
        owner: Who submits it; it does not exist for anybody else.
        input: The job's input; None for a film, which is on disk.
        fields: Further fields that the worker or the owner needs.
        idempotency_key: The caller's name for this request; empty if it has none.
        fingerprint: Digest that a repeated request under the same key must share.
        photo: The photo's file, if it is to be kept for the result.
        kind: `film`; empty for a refine job.
        job_id: Its id, where something has been stored under it; None makes one.
    """

    owner: str
    input: JobInput | None
    fields: Mapping[str, str | int | float]
    idempotency_key: str
    fingerprint: str
    photo: bytes | None = None
    kind: str = ""
    job_id: str | None = None


def new_job_id() -> str:
    """Make the id of a new job."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """State of the queue.

    Attributes:
        queued: Refine jobs that are waiting.
        films: Films that are waiting.
        pending: Jobs that workers hold or have handed back.
        oldest_queued_age_s: How long the first job in the queue has waited; 0 if it is empty.
    """

    queued: int
    films: int
    pending: int
    oldest_queued_age_s: float


class JobStore:
    """Jobs in Redis or Valkey. Every method raises JobsUnavailableError if it does not answer.

    Args:
        client: Redis or Valkey.
        max_queued: Most jobs that may wait.
        ttl_s: Seconds that a job is kept once it has ended.
        errors: Counts failed calls, by operation.
        max_photos: Most photos of an owner that are kept; the oldest goes first.
        max_films: Most films that may wait.
    """

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        max_queued: int,
        ttl_s: int,
        errors: Counter,
        max_photos: int = 20,
        max_films: int = 10,
    ) -> None:
        self._client = client
        self._max_photos = max_photos
        self._script = client.register_script(SCRIPT.read_text())
        self._max_queued = {"": max_queued, FILM: max_films}
        self._ttl_s, self._errors = ttl_s, errors

    async def submit(self, job: Submission) -> tuple[str, bool]:
        """Queue a job; return its id and whether it is new.

        The photo is stored first, so that no job is queued without the photo it was sent with.

        Raises:
            IdempotencyError: If its idempotency key was used for a different request.
            JobQueueFullError: If the queue is full.
        """
        flat = [part for pair in job.fields.items() for part in pair]
        new_id = job.job_id or new_job_id()
        if job.photo is not None:
            key = f"{job_key(new_id)}:photo"
            await self._answer("photo", self._client.set(key, job.photo, ex=UNQUEUED_PHOTO_S))
        call = self._script(
            keys=[STREAM],
            args=[
                "submit",
                new_id,
                job.owner,
                job.kind,
                self._max_queued[job.kind],
                self._max_photos,
                self._ttl_s,
                job.idempotency_key,
                job.fingerprint,
                b"" if job.input is None else job.input.pack(),
                *flat,
            ],
        )
        verdict, value = await self._answer("submit", call)
        if verdict == b"mismatch":
            raise IdempotencyError("Idempotency-Key must be new for a new request, got a used one")
        if verdict == b"full":
            noun = "films" if job.kind == FILM else "jobs"
            raise JobQueueFullError(f"The job queue is full: {value} {noun} are waiting.")
        return value.decode(), verdict == b"new"

    async def find(self, owner: str, idempotency_key: str, fingerprint: str) -> str | None:
        """Look up the job of an idempotency key; None if there is none.

        Raises:
            IdempotencyError: If the key was used for a different request.
        """
        if not idempotency_key:
            return None
        key = idempotency_name(owner, idempotency_key)
        job_id, known = await self._answer("find", self._client.hmget(key, "job", "fingerprint"))
        if job_id is None:
            return None
        if known.decode() != fingerprint:
            raise IdempotencyError("Idempotency-Key must be new for a new request, got a used one")
        return str(job_id.decode())

    async def get(self, job_id: str, owner: str) -> Fields:
        """Look up a job of an owner.

        Raises:
            UnknownJobError: If there is none.
        """
        fields: Fields = {}
        if JOB_ID.fullmatch(job_id):
            fields = _text(await self._answer("get", self._client.hgetall(job_key(job_id))))
        if fields.get("owner") != owner:
            raise UnknownJobError("job id must be one of yours that is still kept, got another")
        return fields | {"id": job_id}

    async def position(self, job_id: str, kind: str = "") -> int | None:
        """Count the jobs ahead of it in the queue; None if it is not waiting.

        Refine jobs are ahead of every film.
        """
        pipeline = self._client.pipeline(transaction=False)
        pipeline.zrank(waiting_key(kind), job_id)
        pipeline.zcard(QUEUED)
        rank, refine_jobs = await self._answer("get", pipeline.execute())
        if rank is None or kind != FILM:
            return cast("int | None", rank)
        return int(rank + refine_jobs)

    async def list_of(self, owner: str, limit: int) -> list[Fields]:
        """List an owner's jobs, the newest first."""
        key = owner_key(owner)
        ids = await self._answer("list", self._client.zrange(key, 0, limit - 1, desc=True))
        if not ids:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hgetall(job_key(job_id.decode()))
        rows = await self._answer("list", pipeline.execute())
        gone = [job_id for job_id, row in zip(ids, rows, strict=True) if not row]
        if gone:
            await self._answer("list", self._client.zrem(key, *gone))
        found = zip(ids, rows, strict=True)
        return [_text(row) | {"id": job_id.decode()} for job_id, row in found if row]

    async def cancel(self, job_id: str, owner: str) -> None:
        """Cancel a waiting job, or tell its worker to stop; delete the photo of an ended one.

        Raises:
            UnknownJobError: If the owner has no such job.
        """
        call = self._script(keys=[STREAM], args=["cancel", job_id, owner])
        if await self._answer("cancel", call) is None:
            raise UnknownJobError("job id must be one of yours that is still kept, got another")

    async def outcome(self, job_id: str) -> Outcome | None:
        """Read a job's outcome as of its last saved state; None before the first."""
        key = job_key(job_id)
        found = await self._answer("outcome", self._client.mget(f"{key}:out", f"{key}:ckpt"))
        data = found[0] or found[1]
        return None if data is None else Outcome.unpack(data)

    async def read_input(self, job_id: str) -> JobInput | None:
        """Read a job's input; None once the job has ended."""
        data = await self._answer("input", self._client.get(f"{job_key(job_id)}:in"))
        return None if data is None else JobInput.unpack(data)

    async def read_photo(self, job_id: str) -> bytes | None:
        """Read a job's photo; None if it is not kept."""
        found = await self._answer("photo", self._client.get(f"{job_key(job_id)}:photo"))
        return cast("bytes | None", found)

    async def events(self, job_id: str, after: str) -> list[tuple[str, Fields]]:
        """Read the events after the given one, by id; wait up to a second if there is none."""
        stream = f"{job_key(job_id)}:ev"
        call = self._client.xread({stream: after}, count=100, block=BLOCK_MS)
        found = await self._answer("events", call)
        rows = found[0][1] if found else []
        return [(event_id.decode(), _text(fields)) for event_id, fields in rows]

    async def last_event(self, job_id: str) -> str:
        """Return the id of a job's last event; `0-0` if there is none."""
        call = self._client.xrevrange(f"{job_key(job_id)}:ev", count=1)
        rows = await self._answer("events", call)
        return rows[0][0].decode() if rows else "0-0"

    async def is_over(self, job_id: str) -> bool:
        """Whether a job has ended or no longer exists."""
        state = await self._answer("get", self._client.hget(job_key(job_id), "state"))
        return state is None or state.decode() in TERMINAL

    async def queue_id(self) -> str:
        """Return the id of this queue, which tells its films from those of another; made once."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.set(QUEUE_ID, secrets.token_hex(8), nx=True)
        pipeline.get(QUEUE_ID)
        _, found = await self._answer("queue_id", pipeline.execute())
        return str(found.decode())

    async def results_of(self, job_ids: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
        """Look up the states of jobs and the names of their results' files; None where none is."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hmget(job_key(job_id), "state", "result")
        rows = await self._answer("get", pipeline.execute())
        return {
            job_id: (state and state.decode(), result and result.decode())
            for job_id, (state, result) in zip(job_ids, rows, strict=True)
        }

    async def figures(self) -> QueueFigures:
        """Measure the queue."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.zcard(QUEUED)
        pipeline.zcard(waiting_key(FILM))
        pipeline.zrange(QUEUED, 0, 0, withscores=True)
        pipeline.exists(STREAM)
        queued, films, oldest, known = await self._answer("figures", pipeline.execute())
        pending = 0
        if known:
            summary = await self._answer("figures", self._client.xpending(STREAM, GROUP))
            pending = summary["pending"]
        age_s = max(time.time() - oldest[0][1], 0.0) if oldest else 0.0
        return QueueFigures(queued, films, pending, age_s)

    async def _answer(self, operation: str, call: Awaitable[Any] | Any) -> Any:
        try:
            return await call
        except redis.RedisError as err:
            self._errors.labels(op=operation).inc()
            raise JobsUnavailableError(f"The Redis for jobs does not answer: {err}") from err


def _text(raw: Mapping[bytes, bytes]) -> Fields:
    return {name.decode(): value.decode() for name, value in raw.items()}
