"""Answers HEAD wherever GET is allowed: the same headers, no body."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.wire.request_state import state_of


class HeadMiddleware:
    """Run HEAD requests as GET, and send only the head of the answer.

    A stream ends there, as if its reader had disconnected.

    Args:
        app: The inner application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_head = state_of(scope).is_head = scope["method"] == "HEAD"
        answered = False

        async def send_head(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                _allow_head(message)
            elif is_head:
                if answered:
                    return
                answered = True
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        async def receive_until_answered() -> Message:
            return {"type": "http.disconnect"} if answered else await receive()

        if not is_head:
            await self.app(scope, receive, send_head)
            return
        inside = {**scope, "method": "GET"}
        try:
            await self.app(inside, receive_until_answered, send_head)
        finally:
            scope.update({**inside, "method": "HEAD"})  # the route, for the metrics


def _allow_head(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    if "GET" in headers.get("allow", "").split(", ") and "HEAD" not in headers["allow"]:
        headers["allow"] += ", HEAD"
