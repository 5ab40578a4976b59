"""What the routes share: one Runtime per application, and how to reach it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import Depends, Request

from service.errors import NotReadyError
from service.jobs.system import JobSystem
from service.latents.memory import LatentStore
from service.observability.metrics import Telemetry
from service.serving.engine import Engine
from service.serving.gate import Gate
from service.serving.loaded import Loaded
from service.serving.turns import Turns
from service.settings import Settings
from service.wire.images import ImageLimits
from service.wire.request_state import state_of
from service.wire.signing import ContentSigner

T = TypeVar("T")


@dataclass(slots=True)
class Runtime:
    """Everything that lives as long as the application.

    Attributes:
        settings: As read at start.
        telemetry: The metrics.
        engine: Owns the device.
        gate: Admits requests.
        latents: Keeps codes under ids.
        jobs: Refine jobs, if available.
        workers: Bounds the threads that decode, align and encode.
        signing: Bounds the threads that encode instead, where signing waits for time stamps.
        animations: Bounds the requests that hold many frames.
        whole_photos: Bounds the requests that hold whole photos.
        version: Version of the service.
        signer: Signs outgoing images; None if no certificate is configured.
        loaded: The networks, the aligner and the directions; None until all are loaded.
    """

    settings: Settings
    telemetry: Telemetry
    engine: Engine
    gate: Gate
    latents: LatentStore
    jobs: JobSystem
    workers: anyio.CapacityLimiter
    signing: anyio.CapacityLimiter
    animations: Turns
    whole_photos: Turns
    version: str
    signer: ContentSigner | None = None
    loaded: Loaded | None = None

    @property
    def ready(self) -> bool:
        """Whether everything that requests need is loaded and warm."""
        return self.loaded is not None and self.engine.ready and self.engine.alive

    def check_ready(self) -> None:
        """Raise unless everything that requests need is loaded and warm.

        Raises:
            EngineDownError: If the engine cannot answer and will not recover.
            NotReadyError: If something is still loading.
        """
        self.engine.check_alive()
        if not self.ready:
            raise NotReadyError("The service is loading its weights.")

    def require_loaded(self) -> Loaded:
        """Return what is loaded.

        Raises:
            NotReadyError: If something is still loading.
        """
        if self.loaded is None:
            raise NotReadyError("The service is loading its weights.")
        return self.loaded

    @property
    def image_limits(self) -> ImageLimits:
        """Limits on photos."""
        settings = self.settings
        return ImageLimits(
            max_pixels=settings.max_pixels,
            min_side_px=settings.min_side_px,
            max_bytes=settings.max_upload_bytes,
        )

    async def in_worker(self, function: Callable[..., T], *args: object, **named: object) -> T:
        """Run blocking work on one of a limited number of worker threads."""
        return await run_sync(partial(function, *args, **named), limiter=self.workers)

    async def in_signing_worker(self, function: Callable[[], T]) -> T:
        """Run blocking work that encodes and signs.

        If it waits for a time-stamp authority, it has threads of its own: a silent authority would
        otherwise keep those that all other requests need.
        """
        waits = self.signer is not None and self.signer.waits
        return await run_sync(function, limiter=self.signing if waits else self.workers)


def runtime_of(request: Request) -> Runtime:
    """Find the application's runtime."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def owner_of(request: Request) -> str:
    """Return the caller's name."""
    return state_of(request.scope).owner


Shared = Annotated[Runtime, Depends(runtime_of)]
Owner = Annotated[str, Depends(owner_of)]
