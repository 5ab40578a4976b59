"""The worker's side of the queue: jobs taken, held, and given up; blocking.

Every write names the claim it is made under; one that has gone to another worker answers `fenced`
and changes nothing.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis

from service.redis_keys import BLOCK_MS, GROUP, SCRIPT, STREAM, busy_key, job_key

CRASH_CAP = 3  # workers that may die of a job

Hold = Literal["go", "cancel", "fenced"]
Progress = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in one worker's hands.

    Attributes:
        job_id: Which.
        fence: Number of the claim; a later one makes it void.
        fields: The job's hash as it stood.
    """

    job_id: str
    fence: int
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Take:
    """What one look at the queue came to.

    Attributes:
        claim: A job; None if there was none.
        redelivered: Whether another worker had it before.
        failed: Jobs found to have ended their workers too often.
    """

    claim: Claim | None
    redelivered: bool
    failed: int


class Leases:
    """Take jobs from the queue, one at a time.

    Args:
        client: Redis or Valkey; its errors pass through.
        lease_s: Silence after which a job may be taken over.
        device: Name of the device shared with synchronous requests; empty if none is.
    """

    def __init__(self, client: "redis.Redis", lease_s: float, device: str = "") -> None:
        self.lease_s = lease_s
        self.worker = uuid.uuid4().hex
        self._client = client
        self._device = device
        self._script = client.register_script(SCRIPT.read_text())

    def take(self) -> Take:
        """Take over an abandoned job, or the next that waits; wait a second for one."""
        lease_ms = int(1000 * self.lease_s)
        entry, job_id, failed = self._call("reap", self.worker, lease_ms, CRASH_CAP)
        redelivered = entry != b""
        if not redelivered:
            found = self._client.xreadgroup(
                GROUP, self.worker, {STREAM: ">"}, count=1, block=BLOCK_MS
            )
            if not found:
                return Take(None, False, failed)
            ((entry, fields),) = cast(Any, found)[0][1]
            job_id = fields[b"job"]
        return Take(self._claim(job_id, entry), redelivered, failed)

    def read_input(self, claim: Claim) -> bytes | None:
        """Read what is to be refined."""
        return cast("bytes | None", self._client.get(f"{job_key(claim.job_id)}:in"))

    def read_state(self, claim: Claim) -> bytes | None:
        """Read where an earlier worker left off, if there was one."""
        return cast("bytes | None", self._client.get(f"{job_key(claim.job_id)}:ckpt"))

    def beat(self, claim: Claim, progress: Progress, state: bytes = b"") -> Hold:
        """Renew the lease, publish progress, save the job's state if there is one."""
        return cast(Hold, self._write("beat", claim, (state,), progress))

    def finish(self, claim: Claim, state: str, result: bytes, progress: Progress) -> bool:
        """End a job; false if it has gone to another worker.

        Without a result the last saved state becomes it.
        """
        return self._write("finish", claim, (state, result), progress) == "done"

    def release(self, claim: Claim, progress: Progress, state: bytes) -> bool:
        """Hand a job back, at once and without blame; false if it has gone already."""
        return self._write("release", claim, (state,), progress) == "done"

    def is_busy(self) -> bool:
        """Whether synchronous requests are in flight on the shared device."""
        return bool(self._device) and bool(self._client.exists(busy_key(self._device)))

    def leave(self) -> None:
        """Take this worker's name off the group, unless jobs still stand under it."""
        consumers = self._client.xinfo_consumers(STREAM, GROUP)
        mine = [row for row in consumers if row["name"] == self.worker.encode()]
        if mine and mine[0]["pending"] == 0:
            self._client.xgroup_delconsumer(STREAM, GROUP, self.worker)

    def _claim(self, job_id: bytes, entry: bytes) -> Claim | None:
        answer = self._call("claim", job_id, entry, self.worker)
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
