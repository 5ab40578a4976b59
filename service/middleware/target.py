"""Accepts request targets in absolute form (RFC 9112, section 3.2.2), which proxies send."""

import re
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

ORIGIN = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class TargetMiddleware:
    """Strip scheme and authority from the path, where the server leaves them.

    Args:
        app: The inner application.
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
