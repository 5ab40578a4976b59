"""GET /metrics for Prometheus, unless metrics have a port of their own."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from service.errors import UnauthorizedError
from service.handlers.runtime import Shared
from service.wire.problems import responses

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Get metrics",
    operation_id="get_metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **responses(UnauthorizedError),
    },
)
async def metrics(runtime: Shared) -> Response:
    """Get all metrics in Prometheus's text format."""
    return Response(runtime.telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)
