"""Names every request, in its answer and in the log."""

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observability import logs
from service.wire.request_state import state_of

ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIdMiddleware:
    """Take the caller's X-Request-ID if it is a decent one, else draw one; answer it.

    Args:
        app: The application inside.
        retry_after_s: Put into the request's state for 429 and 503 answers.
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
