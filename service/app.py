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
from fastapi.routing import APIRoute
from limits import parse_many
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from model_core.alignment.ffhq import FaceAligner
from model_core.errors import WplusError
from model_core.latents.directions.available import read_directions
from service import openapi
from service.api_keys import KeyRing, read_keys
from service.handlers.runtime import Runtime
from service.jobs.embedded import Embedded
from service.jobs.system import JobSystem
from service.latents.memory import LatentStore, MemoryLatentStore
from service.latents.redis import RedisLatentStore
from service.middleware.admission import AdmissionMiddleware
from service.middleware.auth import AuthMiddleware
from service.middleware.body_limit import BodyLimitMiddleware
from service.middleware.head import HeadMiddleware
from service.middleware.last_handler import LastHandlerMiddleware
from service.middleware.lifetime import LifetimeMiddleware
from service.middleware.observe import ObserveMiddleware
from service.middleware.rate_limit import RateLimitMiddleware
from service.middleware.request_id import RequestIdMiddleware
from service.middleware.safe_headers import SafeHeadersMiddleware
from service.middleware.target import TargetMiddleware
from service.observability.metrics import OPERATIONS, OTHER, Telemetry
from service.redis_keys import connect_async
from service.routes import (
    directions,
    edit,
    embed,
    films,
    health,
    jobs,
    merge,
    metrics,
    morph,
    pages,
    quality,
    refine,
)
from service.serving.aligner_loader import load_aligner
from service.serving.concurrency import gather, within
from service.serving.engine import Engine
from service.serving.gate import Gate
from service.serving.loaded import Loaded
from service.serving.predictor_loader import PredictorLoader, load_predictor
from service.serving.turns import Turns
from service.settings import Settings
from service.wire import problems
from service.wire.images import harden
from service.wire.signing import TIMESTAMPS_AT_ONCE, load_signer

STOP_S = 5.0  # for each part; a child process may take longer
STATIC = Path(__file__).parent / "static"
FILMS = "/films"
ROUTES = (embed, quality, morph, edit, merge, directions, refine, films, jobs, health, pages)

logger = logging.getLogger("service.app")


def create_app(
    settings: Settings,
    *,
    predictor: PredictorLoader = load_predictor,
    aligner: Callable[[Settings], FaceAligner] = load_aligner,
    embedded: Embedded | None = None,
    on_failure: Callable[[BaseException], None] = lambda _failure: None,
) -> FastAPI:
    """Build the application; nothing is loaded before it starts.

    Args:
        settings: The service's settings.
        predictor: Builds the predictor, on the device thread.
        aligner: Builds the face aligner, on a worker thread.
        embedded: Runs a Valkey and a worker if the settings name no Redis; without it there are no
            refine jobs.
        on_failure: Called when loading or warming up fails; the application then stays unready.

    Raises:
        KeyFileError: If a file of API keys is configured but cannot be read.
        SigningError: If a certificate is configured that cannot sign.
    """
    keys = None if settings.api_keys is None else read_keys(settings.api_keys)
    runtime = _runtime(settings, predictor, embedded)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        harden(runtime.image_limits)
        await runtime.jobs.start()
        starting = asyncio.ensure_future(_start(runtime, aligner))
        starting.add_done_callback(lambda task: _after_start(task, on_failure))
        try:
            yield
        finally:
            runtime.gate.drain()
            starting.cancel()
            await asyncio.wait({starting}, timeout=STOP_S)
            await runtime.jobs.stop()
            await within(STOP_S, runtime.engine.close(drain_s=1.0), "closing the engine")

    app = FastAPI(
        title="wplus",
        summary="A photo of a face in; its StyleGAN W+ code and edited images out.",
        version=runtime.version,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own needs the internet
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # names a generated method
        middleware=_middleware(runtime, keys),
    )
    app.state.runtime = runtime
    problems.install(app, [route.path for route in _routes()])
    openapi.install(app, secured=keys is not None)
    for routes in ROUTES:
        app.include_router(routes.router)
    if settings.metrics_port is None:
        app.include_router(metrics.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


def _routes() -> list[APIRoute]:
    routes = (route for module in ROUTES for route in module.router.routes)
    return [route for route in routes if isinstance(route, APIRoute)]


def _runtime(settings: Settings, predictor: PredictorLoader, embedded: Embedded | None) -> Runtime:
    telemetry = Telemetry()
    engine = Engine(
        lambda: predictor(settings),
        telemetry,
        max_batch=settings.max_batch,
        queue_size=settings.queue_size,
        stall_s=settings.stall_s,
        device=settings.device,
    )
    gate = Gate(settings.max_inflight, lambda: runtime.check_ready())
    url = settings.redis_url
    client = None if url is None else connect_async(url.get_secret_value())
    latents: LatentStore = MemoryLatentStore(
        settings.latent_capacity, settings.latent_ttl_s, detail_capacity=settings.detail_capacity
    )
    if client is not None:
        latents = RedisLatentStore(
            client,
            latents,
            lambda: runtime.require_loaded().generator,
            settings.latent_capacity,
            settings.latent_ttl_s,
            telemetry.redis_errors,
            settings.detail_capacity,
        )
    runtime = Runtime(
        settings=settings,
        telemetry=telemetry,
        engine=engine,
        gate=gate,
        latents=latents,
        jobs=JobSystem(settings, telemetry, gate, client, embedded),
        workers=anyio.CapacityLimiter(settings.worker_threads),
        signing=anyio.CapacityLimiter(TIMESTAMPS_AT_ONCE),
        animations=Turns(settings.max_animations, "morphs of many frames"),
        whole_photos=Turns(settings.max_whole_photos, "whole photos"),
        version=version("wplus"),
        signer=load_signer(settings, version("wplus")),
    )
    telemetry.build_info.labels(version=runtime.version).set(1)
    telemetry.queue_limit.set(settings.queue_size)
    telemetry.engine_up.set_function(lambda: engine.alive)
    for op in (*OPERATIONS, OTHER):
        inside = partial(runtime.gate.inflight_of, op)
        telemetry.inflight.labels(op=op).set_function(inside)
    if settings.device.startswith("cuda"):
        for kind in ("allocated", "reserved"):
            memory = telemetry.device_memory.labels(device=settings.device, kind=kind)
            memory.set_function(partial(engine.memory_bytes, kind))
    telemetry.latents.set_function(lambda: runtime.latents.size)
    telemetry.ready.labels(component="engine").set_function(lambda: engine.ready)
    telemetry.ready.labels(component="aligner").set_function(lambda: runtime.loaded is not None)
    for batcher in engine.batchers:
        depth = telemetry.queue_depth.labels(stage=batcher.name)
        depth.set_function(partial(getattr, batcher, "depth"))
    return runtime


def _middleware(runtime: Runtime, keys: KeyRing | None) -> list[Middleware]:
    """List the middleware, the outermost first."""
    settings = runtime.settings
    limits = parse_many(settings.rate_limit) if settings.rate_limit else []
    return [
        Middleware(TargetMiddleware),
        Middleware(RequestIdMiddleware, retry_after_s=settings.retry_after_s),
        Middleware(SafeHeadersMiddleware),
        Middleware(ObserveMiddleware, telemetry=runtime.telemetry),
        Middleware(LastHandlerMiddleware),
        Middleware(AuthMiddleware, keys=keys, telemetry=runtime.telemetry),
        Middleware(RateLimitMiddleware, limits=limits),
        Middleware(AdmissionMiddleware, gate=runtime.gate),
        Middleware(
            LifetimeMiddleware,
            deadline_s=settings.deadline_s,
            upload_s=settings.upload_s,
            slow_uploads_s={FILMS: settings.film_upload_s},
        ),
        Middleware(
            BodyLimitMiddleware,
            max_upload_bytes=settings.max_upload_bytes,
            telemetry=runtime.telemetry,
            photos=openapi.photos_of(
                [route for module in ROUTES for route in module.router.routes],
                settings.max_images,
            ),
            files={FILMS: settings.max_film_bytes},
        ),
        Middleware(HeadMiddleware),
    ]


async def _start(runtime: Runtime, aligner: Callable[[Settings], FaceAligner]) -> None:
    """Load the aligner and the engine concurrently, publish what was loaded, start compiling."""
    settings = runtime.settings
    aligners: list[FaceAligner] = []
    predictors = []

    async def start_aligner() -> None:
        aligners.append(await run_sync(aligner, settings))

    async def start_engine() -> None:
        predictors.append(await runtime.engine.start())

    await gather(start_aligner, start_engine)
    (predictor,), (face_aligner,) = predictors, aligners
    known = await run_sync(read_directions, settings.directions, predictor)
    runtime.loaded = Loaded(predictor, face_aligner, known)
    logger.info("networks compute in %s: %s", predictor.precision.name, predictor.precision.reason)
    runtime.telemetry.model_info.publish(
        predictor.weight_digests,
        predictor.precision.name,
        settings.device,
        lambda: predictor.backend,
    )
    runtime.jobs.start_worker()
    logger.info("ready")
    await runtime.engine.start_compiling()


def _after_start(task: "asyncio.Future[None]", on_failure: Callable[[BaseException], None]) -> None:
    if task.cancelled():
        return
    failure = task.exception()
    if failure is not None:
        cause = None if isinstance(failure, WplusError) else failure
        logger.critical("cannot start: %s", failure, exc_info=cause)
        on_failure(failure)
