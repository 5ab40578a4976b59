"""Ends a request early: at its deadline, or when its client has left."""

import asyncio

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.admission import is_work
from service.batcher import DeadlineExceededError


class LifetimeMiddleware:
    """Cancel what a request for work has under way when nobody can use its answer any more.

    The deadline, in event-loop time, stands in the request's state as `deadline_s`. Worker threads
    are waited for, so that their number stays bounded.

    Args:
        app: The application inside.
        deadline_s: Seconds that a request may take, its upload included.
    """

    def __init__(self, app: ASGIApp, deadline_s: float) -> None:
        self.app = app
        self.deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not is_work(scope["method"], scope["path"]):
            await self.app(scope, receive, send)
            return
        deadline_s = anyio.current_time() + self.deadline_s
        scope.setdefault("state", {})["deadline_s"] = deadline_s
        lifetime = _Lifetime(receive, send)
        if scope["method"] != "POST":  # nobody reads its body
            lifetime.body_read.set()
        with anyio.CancelScope(deadline=deadline_s) as cancel:
            await lifetime.run(self.app, scope, cancel)
        if lifetime.left:
            raise ClientDisconnect
        if cancel.cancelled_caught:
            raise DeadlineExceededError(f"request must be answered within {self.deadline_s:g} s")


class _Lifetime:
    """One request, watched for the departure of its client once its body has come in."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.body_read = asyncio.Event()
        self._answered = False
        self.left = False

    async def run(self, app: ASGIApp, scope: Scope, cancel: anyio.CancelScope) -> None:
        """Serve the request, which `cancel` encloses; cancel it when its client departs."""
        watcher = asyncio.ensure_future(self._watch(cancel))
        try:
            await app(scope, self._receive_noting, self._send_noting)
        finally:
            watcher.cancel()

    async def _receive_noting(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = not self._answered
        elif not message.get("more_body", False):
            self.body_read.set()
        return message

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
