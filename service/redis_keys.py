"""What all processes share: the names of the keys, the script, and how to connect."""

from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

TAG = "{wplus}"
STREAM = f"{TAG}:jobs"
QUEUED = f"{TAG}:queued"
QUEUE_ID = f"{TAG}:queue_id"
GROUP = "refine"
FILM = "film"
"""The kind of film jobs; refine jobs have none."""
SCRIPT = Path(__file__).parent / "jobs" / "jobs.lua"
SOCKET_TIMEOUT_S = 5.0
BLOCK_MS = 1000  # longest wait for an event; well under the socket's timeout

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})


def job_key(job_id: str) -> str:
    """Name a job's hash; its other keys append `:in`, `:ckpt`, `:out`, `:ev` and `:photo`."""
    return f"{TAG}:job:{job_id}"


def waiting_key(kind: str) -> str:
    """Name the sorted set of the waiting jobs of a kind; the empty kind is refine jobs."""
    return f"{QUEUED}:{kind}" if kind else QUEUED


def owner_key(owner: str) -> str:
    """Name the sorted set of an owner's job ids."""
    return f"{TAG}:owner:{owner}"


def idempotency_name(owner: str, idempotency_key: str) -> str:
    """Name the hash that maps an idempotency key to its job."""
    return f"{TAG}:idem:{owner}:{idempotency_key}"


def latent_key(owner: str, latent_id: str) -> str:
    """Name the key of an owner's stored code."""
    return f"{TAG}:latent:{owner}:{latent_id}"


def busy_key(device: str) -> str:
    """Name the flag that synchronous requests are in flight on a device."""
    return f"{TAG}:busy:{device}"


def connect(url: str) -> "redis.Redis":
    """Make a client for a worker; no connection is made before it is used."""
    return redis.Redis.from_url(url, **_options(), retry=Retry(NoBackoff(), 0))


def connect_async(url: str) -> "redis.asyncio.Redis":
    """Make a client for the event loop; no connection is made before it is used."""
    retry = redis.asyncio.retry.Retry(NoBackoff(), 1)  # a pooled connection may be dead
    return redis.asyncio.Redis.from_url(url, **_options(), retry=retry)


def _options() -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": SOCKET_TIMEOUT_S,
        "health_check_interval": 30,
    }
