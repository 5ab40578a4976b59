"""The client for asyncio, against the application on stand-ins and against a job's answers."""

import asyncio
import inspect
import json
import threading
import time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest

import wplus_client
from scripts.sync_client import sync_source
from tests.service import photos
from wplus_client import AsyncClient, Client, ServiceError, UnreachableError

PHOTO = photos.plain((102, 102, 102), form="PNG")
DARK = photos.plain((51, 51, 51), form="PNG")
OPERATIONS = (
    *("embed", "morph", "colorize", "merge", "edit", "directions"),
    *("generate", "refine", "jobs", "quality", "version", "edit_film", "download"),
)


class InThreads(httpx.AsyncBaseTransport):
    """Sends what an asyncio client asks through the test client of an application."""

    def __init__(self, application):
        self._send = application._transport.handle_request

    async def handle_async_request(self, request):
        await request.aread()
        answer = await asyncio.to_thread(self._send, request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.read())


def test_the_other_client_is_made_from_this_one():
    package = Path(wplus_client.__file__).parent
    made = sync_source((package / "async_client.py").read_text())
    assert (package / "client.py").read_text() == made, "run `make client`"
    assert "async" not in made.partition("class Client")[2]


@pytest.mark.parametrize("name", [*OPERATIONS, "close", "run", "send"])
def test_both_clients_have_the_same_signatures_and_docstrings(name):
    blocking, awaited = getattr(Client, name), getattr(AsyncClient, name)
    assert inspect.iscoroutinefunction(awaited)
    assert not inspect.iscoroutinefunction(blocking)
    signature = str(inspect.signature(awaited)).replace("Async", "")
    assert str(inspect.signature(blocking)) == signature
    assert inspect.getdoc(blocking).splitlines()[0] == inspect.getdoc(awaited).splitlines()[0]


def test_calls_run_at_the_same_time(client):
    async def calls():
        async with AsyncClient("http://testserver", transport=InThreads(client)) as wplus:
            light, dark = await asyncio.gather(wplus.embed(PHOTO), wplus.embed(DARK))
            half = await wplus.morph(light, dark, lam=0.5)
            frames = await wplus.morph(light, dark, steps=3)
            drawn = await wplus.generate(seed=7)
            version = await wplus.version()
            merged = await wplus.merge(PHOTO, DARK)
            colored = await wplus.colorize(light, DARK, first_row=9)
            assert (await wplus.quality(PHOTO, light))["lpips"] == 0.4
            return half, frames, drawn, version, merged, colored

    half, frames, drawn, version, merged, colored = asyncio.run(calls())
    assert np.allclose(half.code, 0.3, atol=0.01)
    assert [round(float(frame.code.mean()), 1) for frame in frames] == [0.4, 0.3, 0.2]
    assert drawn.pil().size == (64, 64)
    assert version["generator"] == "fake"
    assert merged.code[0, 0] > merged.code[0, 1]
    assert np.allclose(colored.code[9:], 0.2, atol=0.01)


def test_a_refusal_is_an_error_with_its_code(client):
    async def call():
        async with AsyncClient("http://testserver", transport=InThreads(client)) as wplus:
            await wplus.edit(PHOTO, "xyzzy")

    with pytest.raises(ServiceError, match="direction must be one of"):
        asyncio.run(call())


def test_an_unreachable_service_error_says_what_to_do():
    async def call():
        async with AsyncClient("http://127.0.0.1:1", tries=1) as wplus:
            await wplus.version()

    with pytest.raises(UnreachableError, match=r"nothing answers at http://127\.0\.0\.1:1"):
        asyncio.run(call())


def code_and_image():
    data = b64encode(np.full((18, 512), 0.25, np.float32).tobytes()).decode()
    image = {"data": b64encode(b"\xff\xd8 a JPEG").decode()}
    return {"code": {"data": data, "shape": [18, 512]}, "image": image, "latent_id": "x"}


@pytest.fixture
def jobs():
    """Make a service that has one job, which is at each of the states in turn: `jobs(states)`."""
    servers = []

    def start(*states):
        left, keys = list(states), []

        class Jobs(BaseHTTPRequestHandler):
            def _answer(self, members):
                body = json.dumps(members).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                keys.append(self.headers["idempotency-key"])
                self._answer({"id": "j1"})

            def do_GET(self):
                if self.path == "/jobs/j1/result":
                    self._answer(code_and_image())
                    return
                state = left.pop(0) if len(left) > 1 else left[0]
                progress = {"step": 3, "steps": 9, "lpips": 0.2}
                error = {"type": "crash-loop", "detail": "three workers ended"}
                self._answer({"state": state, "progress": progress, "error": error})

            def log_message(self, *_args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Jobs)
        threading.Thread(target=server.serve_forever).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", keys

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_job_is_awaited(jobs):
    url, keys = jobs("queued", "running", "succeeded")

    async def call():
        async with AsyncClient(url) as wplus:
            job = await wplus.refine(PHOTO, steps=9)
            return job, await job.wait(poll_s=0.01)

    job, face = asyncio.run(call())
    assert repr(job) == "AsyncJob(id='j1')"
    assert len(keys[0]) == 32
    assert np.all(face.code == 0.25)


def wait(url, **options):
    with Client(url) as wplus:
        return wplus.refine(PHOTO).wait(poll_s=0.01, **options)


def wait_in_a_loop(url, **options):
    async def call():
        async with AsyncClient(url) as wplus:
            return await (await wplus.refine(PHOTO)).wait(poll_s=0.01, **options)

    return asyncio.run(call())


@pytest.mark.parametrize("wait", [wait, wait_in_a_loop])
def test_a_job_that_fails_is_an_error(jobs, wait):
    url, _ = jobs("running", "failed")
    with pytest.raises(ServiceError, match="crash-loop: three workers ended"):
        wait(url)


@pytest.mark.parametrize("wait", [wait, wait_in_a_loop])
def test_waiting_for_a_job_has_a_limit(jobs, wait):
    url, _ = jobs("running")
    started_s = time.monotonic()
    with pytest.raises(TimeoutError, match=r"job must end within 0\.2 s, got running"):
        wait(url, timeout_s=0.2)
    assert time.monotonic() - started_s < 10
