"""Requests that end early, on an application that never answers."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect

from service.errors import DeadlineExceededError, UploadTimeoutError
from service.middleware.admission import AdmissionMiddleware
from service.middleware.lifetime import LifetimeMiddleware
from service.serving.gate import Gate
from service.wire.request_state import state_of

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


class Download(Silent):
    """An application that sends a file, slowly."""

    async def __call__(self, scope, receive, send):
        state_of(scope).begin_download()
        self.began.set()
        await asyncio.sleep(0.2)


async def test_a_download_has_no_deadline_but_ends_with_its_client():
    task, _ = await call(Download(), "/jobs/x/result", deadline_s=0.01)
    await asyncio.wait_for(task, 5)
    task, leave = await call(Download(), "/jobs/x/result", deadline_s=0.01)
    leave()
    with pytest.raises(ClientDisconnect):
        await asyncio.wait_for(task, 5)


async def test_a_download_leaves_its_place_at_the_gate():
    gate, app = Gate(1, lambda: None), Download()
    scope = {"type": "http", "method": "GET", "path": "/jobs/x/result"}
    task = asyncio.ensure_future(AdmissionMiddleware(app, gate)(scope, None, None))
    await app.began.wait()
    assert gate.inflight == 0
    await task
    assert gate.inflight == 0


async def test_some_uploads_may_take_longer():
    async def app(scope, receive, send):
        await receive()

    async def arrives_late():
        await asyncio.sleep(0.1)
        return {"type": "http.request", "body": b"", "more_body": False}

    middleware = LifetimeMiddleware(app, 60, 0.01, {"/films": 60})
    await middleware({"type": "http", "method": "POST", "path": "/films"}, arrives_late, None)
    with pytest.raises(UploadTimeoutError):
        await middleware({"type": "http", "method": "POST", "path": "/edit"}, arrives_late, None)


def test_films_that_arrive_use_no_device():
    gate = Gate(4, lambda: None)
    with gate.enter("films"):
        assert not gate.uses_device
        with gate.enter("embed"):
            assert gate.uses_device
