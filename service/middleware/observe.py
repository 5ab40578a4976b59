"""Measures every request: duration by route and status, outcome by operation, active requests."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observability.metrics import OPERATIONS, Telemetry
from service.wire.request_state import state_of

UNMATCHED = "__unmatched__"
CLIENT_CLOSED = 499  # nginx's status for a client that left; no answer carries it
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ObserveMiddleware:
    """Publish the outcome of each request, under bounded labels.

    Args:
        app: The inner application.
        telemetry: The metrics.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self.app = app
        self.telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = CLIENT_CLOSED
        started_s = time.perf_counter()

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.telemetry.active_requests.inc()
        try:
            await self.app(scope, receive, send_noting)
        finally:
            self.telemetry.active_requests.dec()
            self._publish(scope, status, time.perf_counter() - started_s)

    def _publish(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        self.telemetry.request_duration.labels(
            http_request_method=method,
            http_route=route,
            http_response_status_code=str(status),
        ).observe(seconds)
        op = scope["path"].strip("/")
        if op in OPERATIONS and method == "POST":
            outcome = self._outcome(scope, status)
            self.telemetry.requests.labels(op=op, outcome=outcome).inc()
            if outcome == "rejected":
                self.telemetry.rejected.labels(reason=state_of(scope).problem).inc()

    @staticmethod
    def _outcome(scope: Scope, status: int) -> str:
        if status < 300:
            return "ok"
        if status == CLIENT_CLOSED:
            return "cancelled"
        return state_of(scope).outcome or ("invalid" if status < 500 else "error")
