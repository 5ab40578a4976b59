"""Requests that end early, on an application that never answers."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect

from service.errors import DeadlineExceededError
from service.middleware.lifetime import LifetimeMiddleware

pytestmark = pytest.mark.anyio
RENDERED = ("/jobs/x/preview", "/jobs/x/result")


class Silent:
    """An application that notes how it ended."""

    def __init__(self):
        self.began, self.cancelled = asyncio.Event(), False

    async def __call__(self, scope, receive, send):
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def call(app, path, deadline_s=60):
    """Ask for a path; answer the call, and what makes its client leave."""
    messages = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    scope = {"type": "http", "method": "GET", "path": path}
    middleware = LifetimeMiddleware(app, deadline_s)
    task = asyncio.ensure_future(middleware(scope, messages.get, None))
    await app.began.wait()
    return task, lambda: messages.put_nowait({"type": "http.disconnect"})


@pytest.mark.parametrize("path", RENDERED)
async def test_rendering_is_cancelled_when_its_client_disconnects(path):
    app = Silent()
    task, leave = await call(app, path)
    leave()
    with pytest.raises(ClientDisconnect):
        await asyncio.wait_for(task, 5)
    assert app.cancelled


@pytest.mark.parametrize("path", RENDERED)
async def test_rendering_has_a_deadline(path):
    task, _ = await call(Silent(), path, deadline_s=0.01)
    with pytest.raises(DeadlineExceededError):
        await asyncio.wait_for(task, 5)


async def test_events_may_stay_open():
    app = Silent()
    task, _ = await call(app, "/jobs/x/events", deadline_s=0.01)
    await asyncio.sleep(0.05)
    assert not app.cancelled
    task.cancel()
