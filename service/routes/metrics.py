"""GET /metrics: what Prometheus asks, unless it has a port of its own for that."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from service.errors import UnauthorizedError
from service.handlers.runtime import Shared
from service.wire.problems import responses

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **responses(UnauthorizedError),
    },
)
async def metrics(runtime: Shared) -> Response:
    """Answer all metrics in Prometheus's text format."""
    return Response(runtime.telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)
