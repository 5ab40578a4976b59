"""Counts the bytes of a body as they come in, and stops at the limit."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import TooLargeError
from service.telemetry import OPERATIONS, Telemetry

ENVELOPE_BYTES = 1_000_000  # form boundaries, fields, a code in JSON numbers
FILES = {"morph": 2, "colorize": 2, "generate": 0}


class BodyLimitMiddleware:
    """Refuse bodies that are too large: by Content-Length at once, else while they stream in.

    A body may hold as many files as its endpoint takes, base64 where it is JSON; the exact limit
    of each file is checked where it is read.

    Args:
        app: The application inside.
        max_upload_bytes: Largest file.
        telemetry: Where the sizes of bodies are published.
    """

    def __init__(self, app: ASGIApp, max_upload_bytes: int, telemetry: Telemetry) -> None:
        self.app = app
        self.max_upload_bytes = max_upload_bytes
        self.telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        op = scope["path"].strip("/")
        limit = self._limit(op, headers)
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise self._error(limit, int(announced))
        seen = 0

        async def receive_counting() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise self._error(limit, seen)
            return message

        try:
            await self.app(scope, receive_counting, send)
        finally:
            if seen and op in OPERATIONS:
                self.telemetry.upload_bytes.labels(op=op).observe(seen)

    def _limit(self, op: str, headers: Headers) -> int:
        size = self.max_upload_bytes * FILES.get(op, 1)
        is_json = headers.get("content-type", "").startswith("application/json")
        return (size * 4 // 3 if is_json else size) + ENVELOPE_BYTES

    @staticmethod
    def _error(limit: int, size: int) -> TooLargeError:
        return TooLargeError(f"body must have at most {limit} bytes, got {size} or more")
