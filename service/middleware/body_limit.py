"""Counts the bytes of a body as they arrive, and stops at the limit."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import TooLargeError
from service.observability.metrics import Telemetry, operation_of

ENVELOPE_BYTES = 1_000_000  # form boundaries, fields, a code in JSON numbers
DETAIL_BYTES = 1_200_000  # the detail in a code's file, which JSON cannot hold
FILES = (
    "multipart/form-data",
    "image/",
    "application/octet-stream",
    "application/vnd.safetensors",
)


class BodyLimitMiddleware:
    """Refuse bodies that are too large: at once by Content-Length, else as they stream in.

    A body may hold as many photos as its endpoint takes, in base64 if it is JSON; the exact limit
    of each is checked where it is read. Bodies that no endpoint reads pass through.

    Args:
        app: The inner application.
        max_upload_bytes: Largest file.
        telemetry: Publishes the sizes of bodies.
        photos: Most photos in a body, by the path of the endpoint that reads it.
        files: Largest file, by the path of an endpoint that streams it to disk.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_upload_bytes: int,
        telemetry: Telemetry,
        photos: Mapping[str, int],
        files: Mapping[str, int] | None = None,
    ) -> None:
        self.app = app
        self.max_upload_bytes = max_upload_bytes
        self.telemetry = telemetry
        self.photos = photos
        self.files = files or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or (path not in self.photos and path not in self.files):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if path in self.files:
            limit = self.files[path] + ENVELOPE_BYTES
        else:
            limit = self._limit(self.photos[path], headers)
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
            if seen:
                op = operation_of(scope["path"])
                self.telemetry.upload_bytes.labels(op=op).observe(seen)

    def _limit(self, photos: int, headers: Headers) -> int:
        size = self.max_upload_bytes * photos
        is_file = headers.get("content-type", "").lower().startswith(FILES)
        if not photos:  # where there are, a code's file fits in the place of one
            size = DETAIL_BYTES if is_file else 0
        # 4/3 for base64, the rest for line breaks and escapes.
        return (size if is_file else size * 3 // 2) + ENVELOPE_BYTES

    @staticmethod
    def _error(limit: int, size: int) -> TooLargeError:
        return TooLargeError(f"body must have at most {limit} bytes, got {size} or more")
