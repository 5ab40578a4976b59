"""GET /livez, /readyz and /version, for probes and people."""

import platform

import torch
from fastapi import APIRouter

from service.errors import DrainingError, EngineDownError, NotReadyError, UnauthorizedError
from service.handlers.runtime import Shared
from service.wire.problems import responses
from service.wire.schemas import Health, Version

router = APIRouter(tags=["health"])


@router.get(
    "/livez",
    summary="Check liveness",
    operation_id="check_liveness",
    responses=responses(EngineDownError),
)
async def livez(runtime: Shared) -> Health:
    """Answer 200 while the engine works or is loading; 503 asks for a restart."""
    runtime.engine.check_alive()
    return Health(status="alive")


@router.get(
    "/readyz",
    summary="Check readiness",
    operation_id="check_readiness",
    responses=responses(NotReadyError, DrainingError, EngineDownError),
)
async def readyz(runtime: Shared) -> Health:
    """Answer 200 once the weights are loaded and warm, until the service is asked to stop."""
    runtime.gate.check()
    return Health(status="ready")


@router.get(
    "/version",
    summary="Get version",
    operation_id="get_version",
    responses=responses(UnauthorizedError),
)
async def version(runtime: Shared) -> Version:
    """Get the versions and, once they are loaded, the SHA-256 of every weight file in use."""
    settings = runtime.settings
    answer = Version(
        version=runtime.version,
        python=platform.python_version(),
        torch=torch.__version__,
        device=settings.device,
        backend=settings.backend,
        ready=runtime.ready,
    )
    loaded = runtime.loaded
    if loaded is None:
        return answer
    predictor, generator = loaded.predictor, loaded.generator
    return answer.model_copy(
        update={
            "backend": predictor.backend,
            "dtype": predictor.precision.name,
            "dtype_reason": predictor.precision.reason,
            "generator": generator.name,
            "fingerprint": generator.fingerprint,
            "detail": generator.detail.fingerprint if generator.detail else None,
            "code_shape": list(generator.shape),
            "image_px": predictor.img_resolution,
            "identity_judge": predictor.identity_judge,
            "directions": sorted(loaded.directions),
            "weights": dict(predictor.weight_digests),
        }
    )
