"""Ends a request early: when its upload or answer takes too long, or its client disconnects."""

import asyncio
import math
from collections.abc import Callable, Mapping

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import DeadlineExceededError, UploadTimeoutError
from service.serving.gate import is_work
from service.wire.request_state import state_of


class LifetimeMiddleware:
    """Cancel a request's work at its deadline or when the client disconnects.

    The deadline counts from the end of the upload, because how fast a body arrives is up to its
    sender; the upload has a limit of its own. An answer that only sends a file has no deadline. The
    deadline, in event-loop time, is in the request's state once the body has been read. Worker
    threads are awaited, so that their number stays bounded.

    Args:
        app: The inner application.
        deadline_s: Seconds that an answer may take.
        upload_s: Seconds that an upload may take.
        slow_uploads_s: The same for the paths whose uploads may take longer.
    """

    def __init__(
        self,
        app: ASGIApp,
        deadline_s: float,
        upload_s: float = 60.0,
        slow_uploads_s: Mapping[str, float] | None = None,
    ) -> None:
        self.app = app
        self.deadline_s = deadline_s
        self.upload_s = upload_s
        self.slow_uploads_s = slow_uploads_s or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not is_work(scope["method"], scope["path"]):
            await self.app(scope, receive, send)
            return
        upload_s = self.slow_uploads_s.get(scope["path"], self.upload_s)
        with anyio.CancelScope(deadline=anyio.current_time() + upload_s) as cancel:

            def begin() -> None:
                cancel.deadline = anyio.current_time() + self.deadline_s
                state_of(scope).deadline_s = cancel.deadline

            def lift() -> None:
                cancel.deadline = math.inf

            state_of(scope).on_download.append(lift)
            lifetime = _Lifetime(receive, send, begin)
            if scope["method"] != "POST":  # its body is not read
                lifetime.end_upload()
            await lifetime.run(self.app, scope, cancel)
        if lifetime.left:
            raise ClientDisconnect
        if cancel.cancelled_caught and not lifetime.body_read.is_set():
            raise UploadTimeoutError(
                f"body must be sent within {upload_s:g} s, got {lifetime.received} bytes of it"
            )
        if cancel.cancelled_caught:
            raise DeadlineExceededError(f"request must be answered within {self.deadline_s:g} s")


class _Lifetime:
    """One request; once its body has arrived, watches for its client to disconnect."""

    def __init__(self, receive: Receive, send: Send, begin: Callable[[], None]) -> None:
        self._receive = receive
        self._send = send
        self._begin = begin
        self.body_read = asyncio.Event()
        self.received = 0
        self._answered = False
        self.left = False

    async def run(self, app: ASGIApp, scope: Scope, cancel: anyio.CancelScope) -> None:
        """Serve the request inside `cancel`; cancel it when its client disconnects."""
        watcher = asyncio.ensure_future(self._watch(cancel))
        try:
            await app(scope, self._receive_noting, self._send_noting)
        finally:
            watcher.cancel()

    async def _receive_noting(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = not self._answered
            return message
        self.received += len(message.get("body", b""))
        if not message.get("more_body", False):
            self.end_upload()
        return message

    def end_upload(self) -> None:
        """Start the answer's deadline, and start watching for the client to disconnect."""
        if not self.body_read.is_set():
            self._begin()
            self.body_read.set()

    async def _send_noting(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._answered = True

    async def _watch(self, cancel: anyio.CancelScope) -> None:
        await self.body_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._answered:
            self.left = True
            cancel.cancel()
