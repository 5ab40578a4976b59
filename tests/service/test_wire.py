"""Requests as other programs write them: cut off, wrapped, empty, doubled, compressed."""

import base64
import gzip
import io
import json
import socket
import threading

import numpy as np
import pytest
import uvicorn

from service.app import create_app
from service.settings import Settings
from tests.service import photos
from tests.service.fakes import FakeAligner, FakePredictor, wait_until

PNG = photos.plain((102, 102, 102), form="PNG")
TEXT = base64.b64encode(PNG).decode()
CODE = [[0.25] * 512] * 18
BOUNDARY = "multipart/form-data; boundary=BB"


def form(*parts, end=b"--BB--\r\n"):
    """Write a form: of each part its headers and its content."""
    heads = [
        f"--BB\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() for head, _ in parts
    ]
    contents = [c if isinstance(c, bytes) else c.encode() for _, c in parts]
    return b"".join(h + c + b"\r\n" for h, c in zip(heads, contents, strict=True)) + end


IMAGE = ('name="image"; filename="a.png"', PNG)


def post(client, body, media=BOUNDARY, path="/embed", **headers):
    return client.post(path, content=body, headers={"Content-Type": media} | headers)


def refusal(answer, status, name):
    assert (answer.status_code, answer.json()["code"]) == (status, name), answer.text
    return answer.json()["detail"]


@pytest.mark.parametrize(
    "charset",
    ["undefined", "utf-8", "utf-7", "idna", "punycode", "hex", "unicode_escape", "utf-16", "none"],
)
def test_forms_are_not_decoded_with_the_clients_codec(client, charset):
    body = form(IMAGE, ('name="face"', "0"), ('name="return"', "+AGM-ode"))
    answer = post(client, body, f"{BOUNDARY}; charset={charset}")
    assert "return must be one of code, image, both, got +AGM-ode" in answer.text
    body = form(IMAGE, ('name="face"', "0"), ('name="return"', "image"))
    answer = post(client, body, f"multipart/form-data; charset={charset}; boundary=BB")
    assert "image" in answer.json()


def test_a_boundary_may_be_quoted(client):
    for boundary in ('"BB"', '"B B:\\"=?;"'):
        plain = boundary[1:-1].replace('\\"', '"').encode()
        body = form(IMAGE).replace(b"BB", plain)
        assert post(client, body, f"multipart/form-data; boundary={boundary}").status_code == 200


@pytest.mark.parametrize("kept", [0.2, 0.9, 0.95, -3])
def test_a_truncated_form_is_refused(client, kept):
    body = form(IMAGE, ('name="face"', "0"), ('name="align"', "none"))
    cut = body[: int(len(body) * kept)] if kept > 0 else body[: int(len(body) + kept * 2)]
    assert "cut off" in refusal(post(client, cut), 400, "bad-request")
    assert post(client, body).status_code == 200
    assert post(client, body.removesuffix(b"\r\n")).status_code == 200


@pytest.mark.parametrize(
    ("body", "media", "status", "code"),
    [
        (json.dumps({"image": TEXT}).encode()[:-2], "application/json", 422, "invalid-request"),
        (json.dumps({"image": TEXT[:-40]}).encode(), "application/json", 422, "broken-image"),
        (json.dumps({"image": TEXT[:41]}).encode(), "application/json", 422, "invalid-request"),
        (PNG[:-30], "image/png", 422, "broken-image"),
        (b"", "image/png", 400, "empty-body"),
    ],
    ids=["json", "base64", "base64 by a letter", "photo", "nothing"],
)
def test_other_truncated_bodies_are_refused(client, body, media, status, code):
    refusal(post(client, body, media), status, code)


@pytest.mark.parametrize(
    "head",
    [
        'name="image"; filename="a.png"',
        "name=\"image\"; filename*=utf-8''%D1%84.png",
        "name=\"image\"; FILENAME*=UTF-8''a.png",
        'name="image"; filename*0="a"; filename*1=".png"',
        'name="image"; filename=""',
        'name="image"\r\nContent-Type: image/png',
        'name="image"\r\nContent-Type: application/octet-stream',
    ],
)
def test_a_file_is_recognised_by_every_spelling_of_its_name(client, head):
    assert post(client, form((head, PNG))).status_code == 200


@pytest.mark.parametrize("header", ["Content-Transfer-Encoding: base64", "Content-Encoding: gzip"])
def test_parts_in_another_encoding_are_refused(client, header):
    body = form((f'name="image"; filename="a.png"\r\n{header}', TEXT))
    assert "must be binary, got" in refusal(post(client, body), 400, "bad-request")


def test_a_photo_may_be_a_data_url_everywhere(client):
    url = f"data:image/png;base64,{TEXT}"
    for answer in (
        client.post("/embed", json={"image": url}),
        client.post("/embed", data={"image": url}),
        post(client, form(('name="image"', url))),
        client.post("/morph", json={"sources": [{"image": url}, {"image": TEXT}]}),
    ):
        assert answer.status_code == 200, answer.text
    for answer in (
        client.post("/embed", json={"image": "https://example.org/a.jpg"}),
        client.post("/embed", data={"image": "https://example.org/a.jpg"}),
    ):
        assert "nothing is fetched here" in refusal(answer, 422, "invalid-request")


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "deflate", "identity, zstd"])
def test_compressed_bodies_are_refused_by_the_name_of_the_coding(client, coding):
    body = gzip.compress(json.dumps({"image": TEXT}).encode())
    answer = post(client, body, "application/json", **{"Content-Encoding": coding})
    detail = refusal(answer, 415, "unsupported-media-type")
    assert coding.rpartition(" ")[2].lower() in detail
    plain = post(client, form(IMAGE), **{"Content-Encoding": "identity"})
    assert plain.status_code == 200


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_may_begin_with_a_byte_order_mark(client, encoding):
    body = json.dumps({"image": TEXT}).encode(encoding)
    assert post(client, body, "application/json; charset=whatever").status_code == 200
    code = json.dumps({"code": CODE}).encode(encoding)
    assert post(client, code, "application/json", "/generate").status_code == 200
    file = form(('name="code"; filename="code.json"', json.dumps(CODE).encode(encoding)))
    assert post(client, file, path="/generate").status_code == 200


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"", BOUNDARY),
        (b"--BB--\r\n", BOUNDARY),
        (b"", "application/json"),
        (b"{}", "application/json"),
        (b'{"seed": null}', "application/json"),
        (form(('name="code"; filename=""', b""), ('name="seed"', "")), BOUNDARY),
        (b"seed=&code=&latent_id=", "application/x-www-form-urlencoded"),
        (b"", "application/octet-stream"),
    ],
)
def test_an_empty_body_keeps_the_query(client, body, media):
    assert post(client, body, media, "/generate?seed=7&psi=").status_code == 200
    assert post(client, body, media, "/generate").status_code in (400, 422)


def test_empty_parts_count_as_absent(client):
    empty = [(f'name="{name}"', "") for name in ("code", "latent_id", "face", "strength")]
    body = form(IMAGE, *empty, ('name="direction"', "xyzzy"))
    assert "got xyzzy" in refusal(post(client, body, path="/edit"), 422, "invalid-request")
    empty_file = form(('name="image"; filename="a.png"', b""))
    refusal(post(client, empty_file), 400, "empty-body")
    many = form(*[('name="image"; filename=""', b"")] * 30)
    refusal(post(client, many), 400, "bad-request")


@pytest.mark.parametrize(
    "send",
    [
        lambda c: post(c, form(IMAGE, ('name="face"', "5"), ('name="face"', "0"))),
        lambda c: post(c, form(IMAGE, ('name="face"', "0")), path="/embed?face=5"),
        lambda c: post(c, form(IMAGE), path="/embed?face=5&face=0"),
        lambda c: post(c, PNG, "image/png", "/embed?face=5&face=0"),
        lambda c: c.post("/embed?face=5", json={"image": TEXT, "face": 0}),
        lambda c: c.get(f"/jobs/{'A' * 22}/preview?face=5&face=0"),
    ],
    ids=["form", "query and form", "query", "raw", "query and json", "job"],
)
def test_an_option_with_two_values_is_refused(client, send):
    assert "face must be given once, got 5 and 0" in refusal(send(client), 422, "invalid-request")


def test_a_duplicate_json_member_is_refused(client):
    body = b'{"seed": 5, "seed": 6}'
    detail = refusal(post(client, body, "application/json", "/generate"), 422, "invalid-request")
    assert "an object with 'seed' twice" in detail


def test_an_option_may_be_repeated_with_the_same_value(client):
    assert post(client, form(IMAGE, ('name="face"', "0")), path="/embed?face=0").status_code == 200
    body = {"image": TEXT, "face": 0, "no_store": True}
    answer = client.post("/embed?face=0&no_store=true", json=body)
    assert answer.status_code == 200


def packed(save, **arrays):
    out = io.BytesIO()
    save(out, **arrays)
    return out.getvalue()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda answer, _: json.dumps(answer["code"]).encode(),
        lambda answer, _: b"\n " + json.dumps(answer, indent=2).encode(),
        lambda _, ws: json.dumps(ws.tolist()).encode(),
        lambda _, ws: json.dumps([ws.tolist()]).encode(),
        lambda _, ws: packed(np.savez, w=ws[None]),
        lambda _, ws: packed(np.savez_compressed, ws=ws, noise=ws),
        lambda _, ws: packed(np.savez, whatever=ws.astype("f8")),
    ],
    ids=["code", "answer", "numbers", "batch", "projector", "compressed", "any name"],
)
def test_a_code_is_read_from_every_wrapping(client, wrap):
    answer = client.post("/generate?seed=7").json()
    ws = np.frombuffer(base64.b64decode(answer["code"]["data"]), "<f4").reshape(18, 512)
    file = form(('name="code"; filename="code"', wrap(answer, ws)))
    again = post(client, file, path="/generate")
    assert again.json()["code"]["data"] == answer["code"]["data"], again.text
    raw = post(client, wrap(answer, ws), "application/octet-stream", "/generate")
    assert raw.json()["code"]["data"] == answer["code"]["data"]


def test_a_code_in_json_may_be_the_answer_or_a_batch_of_one(client):
    answer = client.post("/generate?seed=7&encoding=numbers").json()
    for code in (answer, answer["code"], answer["code"]["data"], [answer["code"]["data"]]):
        again = client.post("/generate?encoding=numbers", json={"code": code})
        assert again.json()["code"] == answer["code"], again.text


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"<html></html>", "code must be JSON, .npz, .npy or safetensors, got another file"),
        (PNG, "code must be a code, got a photo: /embed takes photos"),
        (packed(np.savez, w=np.zeros((18, 512)))[:-30], "npz must be whole, got"),
        (packed(np.savez, a=np.zeros(3), b=np.zeros(3)), "npz must hold w, ws or one array, got 2"),
        (packed(np.savez_compressed, w=np.zeros((3000, 512))), "at most 1000000 bytes"),
        (packed(np.savez, w=np.zeros((17, 512))), "must have shape [18, 512], got [17, 512]"),
    ],
)
def test_a_file_without_a_code_is_an_error(client, data, detail):
    answer = post(client, form(('name="code"; filename="code"', data)), path="/generate")
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/merge", "/morph", "/colorize"])
def test_each_of_two_photos_may_have_the_largest_size(serve, path):
    names = {"/merge": ("identity", "attribute"), "/colorize": ("gray", "color")}
    large = PNG + b"\0" * (1_500_000 - len(PNG))
    with serve(max_upload_bytes=1_500_000, max_images=2) as client:
        files = [(name, ("a.png", large)) for name in names.get(path, ("image", "image"))]
        assert client.post(path, files=files).status_code == 200
        three = [*files, (files[0][0], ("b.png", large))]
        refusal(client.post(path, files=three), 413, "too-large")
        too_large = [(files[0][0], ("a.png", large + b"\0")), files[1]]
        refusal(client.post(path, files=too_large), 413, "too-large")


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/version", "/metrics", "/openapi.json", "/docs"]
)
def test_head_answers_wherever_get_does(client, path):
    answer, got = client.head(path), client.get(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == got.headers["content-type"]
    assert got.content
    if path != "/metrics":
        assert answer.headers["content-length"] == got.headers["content-length"]


def test_head_is_counted_by_its_route_and_named_where_get_is(client):
    client.head("/livez")
    counted = 'http_request_method="HEAD",http_response_status_code="200",http_route="/livez"'
    assert counted in client.get("/metrics").text
    wrong = client.post("/livez")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
    assert "/livez takes GET, got POST" in wrong.json()["detail"]
    assert client.head("/embed").status_code == 405
    assert client.head("/nowhere").status_code == 404


def test_an_unknown_path_error_suggests_the_closest(client):
    assert "did you mean /embed?" in refusal(client.post("/embedd"), 404, "not-found")
    assert "GET /openapi.json lists" in refusal(client.get("/xyzzy"), 404, "not-found")


@pytest.fixture(scope="module")
def port():
    """Where the application listens, on stand-ins, by the server of production."""
    app = create_app(
        Settings(upload_s=1.0, deadline_s=1.0),
        predictor=lambda _settings: FakePredictor(),
        aligner=lambda _settings: FakeAligner(),
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started and app.state.runtime.ready)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def say(port, data, *, close=True):
    """Send bytes; answer all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(data)
        answer = b""
        while chunk := link.recv(65536):
            answer += chunk
            if not close and b"\r\n\r\n" in answer:
                break
    return answer.decode("latin-1")


@pytest.mark.parametrize("origin", ["http://127.0.0.1", "HTTPS://proxy:8443", "http://user@host"])
@pytest.mark.parametrize(
    ("path", "status"), [("/livez", 200), ("/livez?x=1", 200), ("/a%20b", 404), ("", 200)]
)
def test_a_target_may_be_in_absolute_form(port, origin, path, status):
    head = f"GET {origin}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert say(port, head.encode()).startswith(f"HTTP/1.1 {status} ")


def test_an_unfinished_upload_is_a_client_error(port):
    body = form(IMAGE)
    head = f"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: {BOUNDARY}\r\n"
    whole = head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:-40]
    chunked = head.encode() + b"Transfer-Encoding: chunked\r\n\r\n40\r\n" + body[:64] + b"\r\n"
    for request in (whole, chunked):
        answer = say(port, request)
        assert answer.startswith("HTTP/1.1 408 ")
        assert "connection: close" in answer.lower()
        assert "upload-timeout" in answer
        assert "body must be sent within 1 s, got" in answer
    text = say(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert 'wplus_inference_requests_total{op="embed",outcome="invalid"} 2.0' in text
    assert 'outcome="timeout"} 0.0' in text


def test_a_slow_upload_does_not_count_towards_the_answer(port):
    body = form(IMAGE)
    head = f"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: {BOUNDARY}\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(head.encode() + body[:-40])
        threading.Event().wait(0.7)
        link.sendall(body[-40:])
        answer = b"".join(iter(lambda: link.recv(65536), b"")).decode("latin-1")
    assert answer.startswith("HTTP/1.1 200 ")
    assert json.loads(answer.partition("\r\n\r\n")[2])["timings_ms"]["total"] < 700
