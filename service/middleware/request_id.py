"""Gives every request an id, for its answer and the log."""

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observability import logs
from service.wire.request_state import state_of

ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIdMiddleware:
    """Use the caller's X-Request-ID if it is valid, else generate one; return it in the answer.

    Args:
        app: The inner application.
        retry_after_s: Retry-After of 429 and 503 answers; put into the request's state.
    """

    def __init__(self, app: ASGIApp, retry_after_s: int = 1) -> None:
        self.app = app
        self.retry_after_s = retry_after_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if ACCEPTED.fullmatch(given) else secrets.token_hex(8)
        state = state_of(scope)
        state.request_id, state.retry_after_s = request_id, self.retry_after_s

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        token = logs.request_id.set(request_id)
        try:
            await self.app(scope, receive, send_named)
        finally:
            logs.request_id.reset(token)
