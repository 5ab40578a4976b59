"""Everything about jobs that lives as long as the application: store, children, flag, figures."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

import redis.asyncio

from service.errors import JobsUnavailableError
from service.jobs.device_flag import show_busy
from service.jobs.embedded import DEVICE, Embedded, EmbeddedError
from service.jobs.films import Films
from service.jobs.sse import Streams
from service.jobs.store import JobStore
from service.observability.metrics import Telemetry
from service.redis_keys import connect_async
from service.serving.concurrency import cancel_all, is_cancelled, within
from service.serving.gate import Gate
from service.settings import Settings

FIGURES_S = 5.0
STOP_S = 2.0
MAX_STREAMS = 64  # each holds a connection to Redis

logger = logging.getLogger("service.jobs")


class JobSystem:
    """Open and close what jobs need; without them /refine and /films are not offered.

    Args:
        settings: The service's settings.
        telemetry: The metrics.
        gate: Counts the requests in flight.
        client: The Redis that the settings name; None if they name none.
        embedded: Runs a Valkey and a worker if the settings name no Redis; None for neither.
    """

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry,
        gate: Gate,
        client: "redis.asyncio.Redis | None",
        embedded: Embedded | None,
    ) -> None:
        self._settings, self._telemetry, self._gate = settings, telemetry, gate
        self._client, self._embedded = client, embedded
        self._url = ""
        self._store: JobStore | None = None
        self._films: Films | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.streams = Streams(MAX_STREAMS)

    @property
    def store(self) -> JobStore:
        """The job store.

        Raises:
            JobsUnavailableError: If this service has none.
        """
        if self._store is None:
            raise JobsUnavailableError("This service has no jobs: no Redis is configured.")
        return self._store

    @property
    def films(self) -> Films:
        """The films.

        Raises:
            JobsUnavailableError: If this service has no jobs.
        """
        if self._films is None:
            raise JobsUnavailableError("This service has no jobs: no Redis is configured.")
        return self._films

    async def start(self) -> None:
        """Find the Redis, or start one; call from the main thread."""
        if not self._settings.jobs:
            return
        device = self._settings.shared_device
        if self._client is None:
            if self._embedded is None:
                return
            try:
                self._url = self._embedded.start_server()
            except (EmbeddedError, OSError) as err:
                logger.warning("refine jobs are unavailable: %s", err)
                await self._embedded.stop()
                self._embedded = None
                return
            self._client, device = connect_async(self._url), DEVICE
            if self._embedded.server is not None:
                self._spawn(self._embedded.server.keep())
        settings = self._settings
        self._store = JobStore(
            self._client,
            settings.job_queue_size,
            settings.job_ttl_s,
            self._telemetry.redis_errors,
            settings.job_photos,
            settings.film_queue_size,
        )
        self._films = Films(settings, self._telemetry, self._store)
        self._spawn(self._films.keep())
        self._spawn(self._publish(self._store))
        if device:
            self._spawn(show_busy(self._client, device, lambda: self._gate.uses_device))

    def start_worker(self) -> None:
        """Start the embedded worker, if there is to be one; call from the main thread."""
        if self._url and self._embedded is not None:
            self._embedded.start_worker(self._url)
            if self._embedded.worker is not None:
                self._spawn(self._embedded.worker.keep())

    async def stop(self) -> None:
        """Close everything; an embedded worker hands its job back."""
        await cancel_all(self._tasks, STOP_S)
        if self._embedded is not None:
            await self._embedded.stop()
        if self._client is not None:
            await within(STOP_S, self._client.aclose(), "closing the connections to Redis")

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(coroutine))

    async def _publish(self, store: JobStore) -> None:
        """Publish the state of the queue every few seconds; runs until cancelled."""
        telemetry = self._telemetry
        while not is_cancelled():
            with contextlib.suppress(JobsUnavailableError):  # counted where it is raised
                figures = await store.figures()
                telemetry.jobs_queued.set(figures.queued)
                telemetry.films_queued.set(figures.films)
                telemetry.jobs_pending.set(figures.pending)
                telemetry.jobs_oldest_queued_age.set(figures.oldest_queued_age_s)
            if not is_cancelled():
                await asyncio.sleep(FIGURES_S)
