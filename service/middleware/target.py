"""Reads request targets in absolute form (RFC 9112, section 3.2.2), which proxies send."""

import re
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

ORIGIN = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class TargetMiddleware:
    """Take scheme and authority off the path: the server hands them on as parts of it.

    Args:
        app: The application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            raw = scope.get("raw_path") or b""
            origin = ORIGIN.match(raw)
            if origin:
                path = raw[origin.end() :] or b"/"
                scope = {**scope, "raw_path": path, "path": unquote(path.decode("latin-1"))}
        await self.app(scope, receive, send)
