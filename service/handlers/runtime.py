"""What the routes share: one Runtime for each application, and the way to reach it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import Depends, Request

from model_core.alignment.ffhq import FaceAligner
from model_core.latents.directions.library import Step
from service.errors import NotReadyError
from service.jobs.system import JobSystem
from service.latents.memory import LatentStore
from service.observability.metrics import Telemetry
from service.serving.animation_limit import AnimationLimit
from service.serving.engine import Engine
from service.serving.gate import Gate
from service.serving.timings import Stages
from service.settings import Settings
from service.wire.codes import GeneratorId
from service.wire.images import ImageLimits

T = TypeVar("T")


@dataclass(slots=True)
class Runtime:
    """Everything that lives as long as the application.

    Attributes:
        settings: As read at start.
        telemetry: The metrics.
        engine: Owner of the device.
        gate: Lets requests in.
        latents: Keeps codes under ids.
        jobs: Refine jobs, where there are any.
        workers: Bounds the threads that decode, align and encode.
        animations: Bounds the requests that hold many frames.
        version: Version of the service.
        aligner: Finds faces; None until loaded.
        directions: What strength 1 of each adds to a code; None until loaded.
    """

    settings: Settings
    telemetry: Telemetry
    engine: Engine
    gate: Gate
    latents: LatentStore
    jobs: JobSystem
    workers: anyio.CapacityLimiter
    animations: AnimationLimit
    version: str
    aligner: FaceAligner | None = field(default=None)
    directions: dict[str, Step] | None = field(default=None)

    @property
    def ready(self) -> bool:
        """Whether all that requests need is loaded and warm."""
        loaded = self.aligner is not None and self.directions is not None
        return loaded and self.engine.ready and self.engine.alive

    def check_ready(self) -> None:
        """Refuse unless all that requests need is loaded and warm.

        Raises:
            EngineDownError: If the engine cannot answer, nor will it.
            NotReadyError: If something is still loading.
        """
        self.engine.check_alive()
        if not self.ready:
            raise NotReadyError("The service is loading its weights.")

    @property
    def image_limits(self) -> ImageLimits:
        """What a photo may be."""
        settings = self.settings
        return ImageLimits(settings.max_pixels, settings.min_side_px, settings.max_upload_bytes)

    @property
    def generator(self) -> GeneratorId:
        """The generator in use."""
        predictor = self.engine.predictor
        return GeneratorId(
            predictor.generator_name, predictor.fingerprint, (predictor.num_ws, predictor.w_dim)
        )

    def face_aligner(self) -> FaceAligner:
        """Hand out the aligner.

        Raises:
            NotReadyError: If it is not loaded.
        """
        if self.aligner is None:
            raise NotReadyError("The face aligner is not loaded yet.")
        return self.aligner

    def known_directions(self) -> dict[str, Step]:
        """Hand out the directions by name.

        Raises:
            NotReadyError: If they are not loaded.
        """
        if self.directions is None:
            raise NotReadyError("The directions are not loaded yet.")
        return self.directions

    def stages(self, request: Request, op: str) -> Stages:
        """Begin to time a request."""
        return Stages(op, self.telemetry, getattr(request.state, "deadline_s", None))

    async def in_worker(self, function: Callable[..., T], *args: object, **named: object) -> T:
        """Run blocking work on a worker thread, of which there are only so many."""
        return await run_sync(partial(function, *args, **named), limiter=self.workers)


def runtime_of(request: Request) -> Runtime:
    """Find the application's runtime."""
    runtime: Runtime = request.app.state.runtime
    return runtime


Shared = Annotated[Runtime, Depends(runtime_of)]
