"""The worker's side of the queue: take, hold and give up jobs; blocking.

Every write names the claim it is made under; if the job has gone to another worker, the write
returns `fenced` and changes nothing.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis

from service.redis_keys import BLOCK_MS, GROUP, QUEUED, SCRIPT, STREAM, busy_key, job_key

CRASH_CAP = 3  # workers that a job may crash

Hold = Literal["go", "cancel", "fenced"]
Progress = Mapping[str, str | int | float]
Films = Literal["yes", "last", "no"]
"""Which films a worker takes: any, those before which no refine job waits, or none."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a worker holds.

    Attributes:
        job_id: The job.
        fence: Number of the claim; a later claim makes it void.
        fields: The job's hash at the time of the claim.
    """

    job_id: str
    fence: int
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Take:
    """Result of one look at the queue.

    Attributes:
        claim: A job; None if there was none.
        redelivered: Whether another worker had it before.
        failed: Number of jobs given up because they crashed too many workers.
    """

    claim: Claim | None
    redelivered: bool
    failed: int


class Leases:
    """Take jobs from the queue, one at a time.

    Args:
        client: Redis or Valkey; its errors pass through.
        lease_s: Seconds of silence after which a job may be taken over.
        device: Name of the device shared with synchronous requests; empty if none is.
    """

    def __init__(self, client: "redis.Redis", lease_s: float, device: str = "") -> None:
        self.lease_s = lease_s
        self.worker = uuid.uuid4().hex
        self._client = client
        self._device = device
        self._script = client.register_script(SCRIPT.read_text())

    def take(self, films: Films = "no") -> Take:
        """Take over an abandoned job or take the next one waiting; wait up to a second for one."""
        lease_ms = int(1000 * self.lease_s)
        entry, job_id, failed = self._call("reap", self.worker, lease_ms, CRASH_CAP, films)
        redelivered = entry != b""
        if not redelivered:
            found = self._client.xreadgroup(
                GROUP, self.worker, {STREAM: ">"}, count=1, block=BLOCK_MS
            )
            if not found:
                return Take(None, False, failed)
            ((entry, fields),) = cast(Any, found)[0][1]
            job_id = fields[b"job"]
        return Take(self._claim(job_id, entry, films), redelivered, failed)

    def read_input(self, claim: Claim) -> bytes | None:
        """Read the job's input."""
        return cast("bytes | None", self._client.get(f"{job_key(claim.job_id)}:in"))

    def read_state(self, claim: Claim) -> bytes | None:
        """Read the state that an earlier worker saved, if any."""
        return cast("bytes | None", self._client.get(f"{job_key(claim.job_id)}:ckpt"))

    def beat(self, claim: Claim, progress: Progress, state: bytes = b"") -> Hold:
        """Renew the lease, publish progress, save the job's state if there is one."""
        return cast(Hold, self._write("beat", claim, (state,), progress))

    def finish(self, claim: Claim, state: str, result: bytes, progress: Progress) -> bool:
        """End a job; return False if it has gone to another worker.

        Without a result, the last saved state becomes the result.
        """
        return self._write("finish", claim, (state, result), progress) == "done"

    def release(self, claim: Claim, progress: Progress, state: bytes) -> bool:
        """Hand a job back, at once and not counted as a crash; return False if it has gone."""
        return self._write("release", claim, (state,), progress) == "done"

    def is_busy(self) -> bool:
        """Whether synchronous requests are in flight on the shared device."""
        return bool(self._device) and bool(self._client.exists(busy_key(self._device)))

    def refine_jobs_wait(self) -> bool:
        """Whether refine jobs wait, which a film makes way for."""
        return self._client.zcard(QUEUED) > 0

    def leave(self) -> None:
        """Remove this worker's name from the group, unless it still holds jobs."""
        consumers = self._client.xinfo_consumers(STREAM, GROUP)
        mine = [row for row in consumers if row["name"] == self.worker.encode()]
        if mine and mine[0]["pending"] == 0:
            self._client.xgroup_delconsumer(STREAM, GROUP, self.worker)

    def _claim(self, job_id: bytes, entry: bytes, films: Films) -> Claim | None:
        answer = self._call("claim", job_id, entry, self.worker, films)
        if answer is None:
            return None
        fence, flat = answer
        words = [word.decode() for word in flat]
        fields = dict(zip(words[::2], words[1::2], strict=True))
        return Claim(job_id.decode(), fence, fields)

    def _write(
        self, operation: str, claim: Claim, values: tuple[str | bytes, ...], progress: Progress
    ) -> str:
        fields = [part for pair in progress.items() for part in pair]
        answer: bytes = self._call(
            operation, claim.job_id, claim.fence, self.worker, *values, *fields
        )
        return answer.decode()

    def _call(self, operation: str, *args: str | bytes | int | float) -> Any:
        return self._script(keys=[STREAM], args=[operation, *args])
