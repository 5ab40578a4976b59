"""Builds the application: its parts, its middleware, its routes, and how it starts and stops."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import anyio
from anyio.to_thread import run_sync
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from model_core.alignment import FaceAligner
from model_core.errors import WplusError
from service import openapi, problems
from service.admission import Gate
from service.concurrency import together
from service.deps import Runtime
from service.engine import Engine, PredictorLoader, load_predictor
from service.images import harden
from service.latents import MemoryLatentStore
from service.middleware.admission import AdmissionMiddleware
from service.middleware.body_limit import BodyLimitMiddleware
from service.middleware.last_handler import LastHandlerMiddleware
from service.middleware.lifetime import LifetimeMiddleware
from service.middleware.observe import ObserveMiddleware
from service.middleware.request_id import RequestIdMiddleware
from service.routes import edit, embed, health, pages
from service.settings import Settings
from service.telemetry import Telemetry

STATIC = Path(__file__).parent / "static"

logger = logging.getLogger("service.app")


def load_aligner(settings: Settings) -> FaceAligner:
    """Load the face aligner."""
    return FaceAligner(settings.landmark_model)


def create_app(
    settings: Settings,
    *,
    predictor: PredictorLoader = load_predictor,
    aligner: Callable[[Settings], FaceAligner] = load_aligner,
    on_failure: Callable[[BaseException], None] = lambda _failure: None,
) -> FastAPI:
    """Build the application; nothing is loaded before it starts.

    Args:
        settings: As read at start.
        predictor: Builds the predictor, on the device thread.
        aligner: Builds the face aligner, on a worker thread.
        on_failure: Told when loading or warming up fails; the application then stays unready.
    """
    runtime = _runtime(settings, predictor)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        harden(runtime.image_limits)
        starting = asyncio.ensure_future(_start(runtime, aligner))
        starting.add_done_callback(lambda task: _after_start(task, on_failure))
        try:
            yield
        finally:
            runtime.gate.drain()
            starting.cancel()
            await asyncio.wait({starting})
            await runtime.engine.close(drain_s=1.0)

    app = FastAPI(
        title="wplus",
        summary="A photo of a face in; its StyleGAN W+ code and edited images out.",
        version=runtime.version,
        lifespan=lifespan,
        redoc_url=None,
        middleware=_middleware(runtime),
    )
    app.state.runtime = runtime
    problems.install(app)
    openapi.install(app)
    for routes in (embed, edit, health, pages):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


def _runtime(settings: Settings, predictor: PredictorLoader) -> Runtime:
    telemetry = Telemetry()
    engine = Engine(
        lambda: predictor(settings),
        telemetry,
        max_batch=settings.max_batch,
        queue_size=settings.queue_size,
        stall_s=settings.stall_s,
        device=settings.device,
    )
    runtime = Runtime(
        settings=settings,
        telemetry=telemetry,
        engine=engine,
        gate=Gate(settings.max_inflight, lambda: runtime.check_ready()),
        latents=MemoryLatentStore(settings.latent_capacity, settings.latent_ttl_s),
        workers=anyio.CapacityLimiter(settings.worker_threads),
        films=anyio.Semaphore(settings.max_films),
        version=version("wplus"),
    )
    telemetry.build_info.labels(version=runtime.version).set(1)
    telemetry.queue_limit.set(settings.queue_size)
    telemetry.engine_up.set_function(lambda: engine.alive)
    telemetry.inflight.set_function(lambda: runtime.gate.inflight)
    telemetry.latents.set_function(lambda: runtime.latents.size)
    telemetry.ready.labels(component="engine").set_function(lambda: engine.ready)
    telemetry.ready.labels(component="aligner").set_function(lambda: runtime.aligner is not None)
    for batcher in engine.batchers:
        depth = telemetry.queue_depth.labels(stage=batcher.name)
        depth.set_function(partial(getattr, batcher, "depth"))
    return runtime


def _middleware(runtime: Runtime) -> list[Middleware]:
    """List the middleware, the outermost first."""
    settings = runtime.settings
    return [
        Middleware(RequestIdMiddleware, retry_after_s=settings.retry_after_s),
        Middleware(ObserveMiddleware, telemetry=runtime.telemetry),
        Middleware(LastHandlerMiddleware),
        Middleware(AdmissionMiddleware, gate=runtime.gate),
        Middleware(LifetimeMiddleware, deadline_s=settings.deadline_s),
        Middleware(
            BodyLimitMiddleware,
            max_upload_bytes=settings.max_upload_bytes,
            telemetry=runtime.telemetry,
        ),
    ]


async def _start(runtime: Runtime, aligner: Callable[[Settings], FaceAligner]) -> None:
    """Load the aligner and the engine side by side, then publish what was loaded."""
    settings = runtime.settings

    async def start_aligner() -> None:
        runtime.aligner = await run_sync(aligner, settings)

    await together(start_aligner, runtime.engine.start)
    predictor = runtime.engine.predictor
    runtime.telemetry.describe_model(predictor.weight_digests, settings.device, predictor.backend)
    logger.info("ready")


def _after_start(task: "asyncio.Future[None]", on_failure: Callable[[BaseException], None]) -> None:
    if task.cancelled():
        return
    failure = task.exception()
    if failure is not None:
        cause = None if isinstance(failure, WplusError) else failure
        logger.critical("cannot start: %s", failure, exc_info=cause)
        on_failure(failure)
