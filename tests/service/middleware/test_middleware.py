"""The middleware around the whole application, on stand-ins."""

import asyncio

import pytest

from service.middleware.observe import CLIENT_CLOSED
from tests.service import photos
from tests.service.fakes import FakePredictor, Held, in_background, wait_until

JPEG = photos.plain()


def embed(client, **options):
    return client.post("/embed", files={"image": ("a.jpg", JPEG)}, **options)


class Wire:
    """A client on raw ASGI, which can leave."""

    def __init__(self, app, body, *, whole=True):
        self.app, self.sent = app, []
        self.messages = asyncio.Queue()
        self.messages.put_nowait({"type": "http.request", "body": body, "more_body": not whole})

    async def call(self, path="/embed"):
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(b"content-type", b"image/jpeg")],
            "client": ("test", 1),
            "server": ("test", 80),
        }
        await self.app(scope, self.messages.get, self._send)

    async def _send(self, message):
        self.sent.append(message)

    def leave(self):
        self.messages.put_nowait({"type": "http.disconnect"})


def test_request_ids_are_kept_if_decent_and_drawn_if_not(client):
    assert (
        client.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    )
    for poor in ("", "a" * 65, "with space", "<script>"):
        drawn = client.get("/livez", headers={"X-Request-ID": poor}).headers["x-request-id"]
        assert drawn != poor
        assert len(drawn) == 16


def test_every_answer_has_the_safe_headers(client):
    for answer in (client.get("/livez"), client.get("/nowhere"), embed(client)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_routes_are_counted_by_template_and_unknown_paths_as_one(client):
    embed(client)
    for path in ("/a", "/b", "/wp-login.php"):
        client.get(path)
    client.request("BREW", "/livez")
    text = client.get("/metrics").text
    count = "wplus_http_server_request_duration_seconds_count"

    def line(method, route, status, number):
        return (
            f'{count}{{http_request_method="{method}",http_response_status_code="{status}",'
            f'http_route="{route}"}} {number}.0'
        )

    assert line("POST", "/embed", 200, 1) in text
    assert line("GET", "__unmatched__", 404, 3) in text
    assert line("_OTHER", "/livez", 405, 1) in text
    assert "wp-login" not in text
    assert 'wplus_upload_bytes_count{op="embed"} 1.0' in text
    assert "wplus_http_server_active_requests 1.0" in text


def test_a_redirect_is_not_counted_as_served(client):
    answer = client.post("/embed/", content=JPEG, follow_redirects=False)
    assert answer.status_code == 307
    text = client.get("/metrics").text
    assert 'wplus_inference_requests_total{op="embed",outcome="ok"} 0.0' in text
    assert 'wplus_inference_requests_total{op="embed",outcome="invalid"} 1.0' in text


def test_overload_is_refused_before_the_body_is_read(serve):
    predictor = Held()
    with serve(predictor, max_inflight=1, retry_after_s=2) as client:
        predictor.hold = True
        thread, answers = in_background(lambda: embed(client))
        wait_until(lambda: client.runtime.gate.inflight == 1)
        refused = embed(client)
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        assert refused.headers["retry-after"] == "2"
        wire = Wire(client.app, JPEG)
        client.portal.call(wire.call)
        assert wire.sent[0]["status"] == 429
        assert wire.messages.qsize() == 1  # the body is still where it was
        assert client.get("/livez").status_code == 200
        predictor.go.set()
        thread.join()
        assert answers[0].status_code == 200
        assert embed(client).status_code == 200
        text = client.get("/metrics").text
        assert 'wplus_rejected_total{reason="overloaded"} 2.0' in text
        assert 'wplus_inference_requests_total{op="embed",outcome="rejected"} 2.0' in text
        assert 'wplus_inflight{op="embed"} 0.0' in text


def test_the_deadline_answers_504_and_the_next_request_is_served(serve):
    predictor = Held()
    with serve(predictor, deadline_s=2) as client:
        predictor.hold = True
        late = embed(client)
        assert (late.status_code, late.json()["code"]) == (504, "deadline")
        predictor.hold = False
        predictor.go.set()
        assert embed(client).status_code == 200
        text = client.get("/metrics").text
        assert 'wplus_inference_requests_total{op="embed",outcome="timeout"} 1.0' in text


def test_an_unknown_failure_of_the_device_is_a_500_without_its_cause(serve, caplog):
    predictor = FakePredictor()
    with serve(predictor) as client:
        predictor.failure = RuntimeError("cuda exploded at /secret/path")
        answer = embed(client)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "secret" not in answer.text
        assert "cuda exploded" in caplog.text
        predictor.failure = None
        assert embed(client).status_code == 200
        text = client.get("/metrics").text
        assert 'wplus_inference_requests_total{op="embed",outcome="error"} 1.0' in text


@pytest.mark.parametrize("whole", [True, False], ids=["after-the-body", "during-the-body"])
def test_a_departed_client_never_reaches_the_device(serve, whole):
    predictor = Held()
    with serve(predictor) as client:
        predictor.hold = True
        thread, _ = in_background(lambda: embed(client))
        wait_until(lambda: client.runtime.engine.busy_s > 0)
        calls = len(predictor.calls)

        async def come_and_go():
            wire = Wire(client.app, JPEG, whole=whole)
            task = asyncio.ensure_future(wire.call())
            if whole:
                while not client.runtime.engine.batchers[0].depth:
                    await asyncio.sleep(0.005)
            wire.leave()
            await asyncio.wait_for(task, 5)
            return wire.sent

        assert client.portal.call(come_and_go) == []
        assert client.runtime.engine.batchers[0].depth == 0
        predictor.go.set()
        thread.join()
        assert [op for op, _ in predictor.calls[calls:]].count("embed") == 1
        text = client.get("/metrics").text
        assert 'wplus_inference_requests_total{op="embed",outcome="cancelled"} 1.0' in text
        assert f'http_response_status_code="{CLIENT_CLOSED}"' in text
        assert client.runtime.gate.inflight == 0


def test_waiting_requests_form_a_batch(serve):
    predictor = Held()
    with serve(predictor, max_batch=4) as client:
        predictor.calls.clear()  # those of the warm-up
        predictor.hold = True
        threads = [in_background(lambda: embed(client))]
        wait_until(lambda: client.runtime.engine.busy_s > 0)
        threads += [in_background(lambda: embed(client)) for _ in range(4)]
        wait_until(lambda: client.runtime.engine.batchers[0].depth == 4)
        predictor.go.set()
        for thread, answers in threads:
            thread.join()
            assert answers[0].status_code == 200
        assert [size for op, size in predictor.calls if op == "embed"] == [1, 4]


def test_a_poisoned_batch_fails_alone(serve):
    poison = photos.plain((13, 13, 13), form="PNG")

    class Poisonable(Held):
        def embed(self, faces):
            codes = super().embed(faces)
            if (faces == 13).all((1, 2, 3)).any():
                raise ValueError("poisoned")
            return codes

    predictor = Poisonable()
    with serve(predictor, max_batch=2) as client:
        predictor.hold = True
        calls = [in_background(lambda: embed(client))]
        wait_until(lambda: client.runtime.engine.busy_s > 0)
        for place, data in enumerate((JPEG, poison, JPEG, JPEG), start=1):
            calls.append(
                in_background(
                    lambda data=data: client.post(
                        "/embed", content=data, headers={"Content-Type": "image/png"}
                    )
                )
            )
            wait_until(lambda place=place: client.runtime.engine.batchers[0].depth == place)
        predictor.go.set()
        for thread, _ in calls:
            thread.join()
        statuses = [answers[0].status_code for _, answers in calls]
        assert statuses == [200, 500, 500, 200, 200]
        assert client.get("/livez").status_code == 200


def test_stopping_finishes_running_requests(serve):
    predictor = Held()
    with serve(predictor) as client:
        predictor.hold = True
        thread, answers = in_background(lambda: embed(client))
        wait_until(lambda: client.runtime.engine.busy_s > 0)
        client.runtime.gate.drain()
        predictor.go.set()
        thread.join()
    assert answers[0].status_code == 200
