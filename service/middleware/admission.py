"""Admits requests for work through the gate, or refuses them before reading the body."""

from contextlib import ExitStack

from starlette.types import ASGIApp, Receive, Scope, Send

from service.observability.metrics import operation_of
from service.serving.gate import Gate, is_work
from service.wire.request_state import state_of


class AdmissionMiddleware:
    """Hold a place at the gate while a request for work is served.

    Args:
        app: The inner application.
        gate: The gate; the last handler answers its errors.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self.app = app
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not is_work(scope["method"], scope["path"]):
            await self.app(scope, receive, send)
            return
        with ExitStack() as place:
            place.enter_context(self.gate.enter(operation_of(scope["path"])))
            state_of(scope).on_download.append(place.close)
            await self.app(scope, receive, send)
