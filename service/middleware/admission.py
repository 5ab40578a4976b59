"""Admits requests for work through the gate, or refuses them before reading the body."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.observability.metrics import operation_of
from service.serving.gate import Gate, is_work


class AdmissionMiddleware:
    """Hold a place at the gate while a request for work is served.

    app: The inner application.
        app: The application inside.
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
        with self.gate.enter(operation_of(scope["path"])):
            await self.app(scope, receive, send)
