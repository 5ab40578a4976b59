"""The Python client, against the application on stand-ins."""

import email.utils
import io
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

from tests.service import photos
from wplus_client import Client, Face, Job, ServiceError, UnreachableError

PHOTO = photos.plain((102, 102, 102), form="PNG")
DARK = photos.plain((51, 51, 51), form="PNG")


@pytest.fixture
def connect():
    """Make a client of an application: `connect(application, tries=1)`."""

    def connect(application, **options):
        return Client("http://testserver", transport=application._transport, **options)

    return connect


def test_a_photo_becomes_a_face(client, connect):
    with connect(client) as wplus:
        face = wplus.embed(PHOTO, format="png")
    assert face.code.shape == (18, 512)
    assert face.code.dtype == np.float32
    assert np.abs(face.code - 0.4).max() < 0.01
    assert Image.open(io.BytesIO(face.image)).format == "PNG"
    assert len(face.latent_id) == 22
    assert face.details["quality"]["lpips"] == 0.4
    assert (face.identity_similarity, face.same_person) == (0.9, True)
    assert (
        Face(face.code, b"", None).identity_similarity,
        Face(face.code, b"", None).same_person,
    ) == (
        None,
        None,
    )


def test_figures_can_be_measured_later(client, connect):
    with connect(client) as wplus:
        face = wplus.embed(PHOTO, quality=False)
        assert "quality" not in face.details
        assert face.identity_similarity is None
        assert wplus.quality(PHOTO, face)["lpips"] == 0.4
        assert wplus.quality(PHOTO, face.code)["same_person"] is True


def test_an_edited_face_goes_back_into_its_photo(serve, connect, tmp_path):
    np.save(tmp_path / "light.npy", np.ones(512))
    with serve(directions=tmp_path) as client, connect(client) as wplus:
        face = wplus.embed(PHOTO)
        calls = (
            wplus.edit(face, "light", 6, photo=PHOTO, format="png"),
            wplus.edit(PHOTO, "light", 6, output="photo", face=[0], format="png"),
            wplus.edit(PHOTO, "light", 6, output="photo", face="all", format="png"),
        )
        for whole in calls:
            assert whole.details["pasted"][0]["blend"] == "transfer"
            assert whole.pil().size == (320, 320)
            assert whole.pil().getpixel((160, 160))[0] > 110
            assert whole.pil().getpixel((1, 1)) == (102, 102, 102)


def test_every_kind_of_source_names_the_same_face(client, connect, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(PHOTO)
    with connect(client) as wplus:
        kept, unkept = wplus.embed(PHOTO), wplus.embed(PHOTO, no_store=True)
        assert unkept.latent_id is None
        for source in (PHOTO, path, str(path), kept.code, kept, unkept):
            half = wplus.morph(source, DARK, lam=0.5)
            assert np.allclose(half.code, 0.3, atol=0.01)
            colored = wplus.colorize(source, DARK, first_row=9)
            assert np.allclose(colored.code[:9], 0.4, atol=0.01)
            assert np.allclose(colored.code[9:], 0.2, atol=0.01)


def test_a_refusal_is_an_error_with_its_code(client, connect):
    with connect(client) as wplus, pytest.raises(ServiceError, match="no-face: ") as refusal:
        wplus.embed(photos.plain((0, 0, 0), form="PNG"))
    assert (refusal.value.code, refusal.value.status) == ("no-face", 422)


def test_a_busy_service_is_retried_after_its_retry_after(serve, connect):
    with serve(rate_limit="1/second") as application:
        with connect(application) as wplus:
            assert wplus.embed(PHOTO).latent_id != wplus.embed(PHOTO).latent_id
        with connect(application, tries=1) as wplus, pytest.raises(ServiceError) as refusal:
            [wplus.embed(PHOTO) for _ in range(10)]
        assert (refusal.value.code, refusal.value.status) == ("rate-limited", 429)


def test_an_unreachable_service_error_says_what_to_do():
    with (
        Client("http://127.0.0.1:1", tries=1) as wplus,
        pytest.raises(
            UnreachableError, match=r"nothing answers at http://127\.0\.0\.1:1: is `wplus"
        ),
    ):
        wplus.embed(PHOTO)
    assert issubclass(UnreachableError, httpx.TransportError)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", ""])
def test_a_url_of_another_scheme_is_refused_at_once(url):
    with pytest.raises(ValueError, match="url must begin with http:// or https://, got"):
        Client(url)


def test_a_face_has_a_short_repr_and_a_notebook_image(client, connect):
    with connect(client) as wplus:
        faces = {form: wplus.embed(PHOTO, format=form) for form in ("jpeg", "png", "webp")}
    for form, face in faces.items():
        assert len(repr(face)) < 150
        assert f"bytes of image/{form}" in repr(face)
        assert face.pil().size == (64, 64)
    assert faces["jpeg"]._repr_jpeg_() == faces["jpeg"].image
    assert faces["png"]._repr_png_() == faces["png"].image
    assert faces["jpeg"]._repr_png_() is faces["webp"]._repr_jpeg_() is None
    assert Image.open(io.BytesIO(faces["webp"]._repr_png_())).format == "PNG"


def test_a_face_is_saved_in_its_own_format(client, connect, tmp_path):
    with connect(client) as wplus:
        face = wplus.embed(PHOTO)
    assert face.save(tmp_path / "face.JPG").read_bytes() == face.image
    assert np.array_equal(np.load(face.save(str(tmp_path / "face.npy"))), face.code)
    with pytest.raises(ValueError, match=r"path must end in \.jpg or \.jpeg or \.npy"):
        face.save(tmp_path / "face.png")
    assert not (tmp_path / "face.png").exists()


def test_images_of_every_python_type_are_sources(client, connect):
    opened = Image.open(io.BytesIO(PHOTO))
    pictures = [
        opened,
        opened.convert("L"),
        opened.convert("RGBA"),
        opened.convert("P"),
        np.asarray(opened),
        np.asarray(opened)[..., 0],
        io.BytesIO(PHOTO),
        bytearray(PHOTO),
        memoryview(PHOTO),
    ]
    with connect(client) as wplus:
        for picture in pictures:
            assert np.abs(wplus.embed(picture).code - 0.4).max() < 0.01


def test_a_pillow_image_stays_upright(client, connect):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(photos.plain(size=(300, 200), exif=exif)))
    with connect(client) as wplus:
        assert wplus.embed(turned).details["face"]["box"] == [0, 0, 200, 300]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((20, 20, 3), np.float32), "array must be a uint8 image"),
        (np.zeros((18, 512), np.int64), "got int64 of \\(18, 512\\)"),
        ("https://example.org/ann.jpg", "got a URL: download"),
    ],
)
def test_an_invalid_source_is_refused_before_sending(source, message):
    with Client() as wplus, pytest.raises(ValueError, match=message):
        wplus.embed(source)


def test_every_operation_has_a_method(client, connect):
    with connect(client) as wplus:
        light = wplus.embed(photos.plain((204, 204, 204), form="PNG"))
        frames = wplus.morph(light, DARK, steps=3)
        assert [round(float(frame.code.mean()), 1) for frame in frames] == [0.8, 0.5, 0.2]
        assert all(frame.pil().size == (64, 64) for frame in frames)
        merged = wplus.merge(PHOTO, DARK, no_store=True)
        assert merged.latent_id is None
        assert merged.code[0, 0] > merged.code[0, 1]
        drawn = wplus.generate(seed=7)
        assert np.array_equal(wplus.generate(drawn).code, drawn.code)
        assert np.array_equal(wplus.generate(drawn.code).code, drawn.code)
        with pytest.raises(ServiceError, match="direction must be one of"):
            wplus.edit(light, "xyzzy")
        assert wplus.version()["generator"] == "fake"
        with pytest.raises(ServiceError, match="jobs-unavailable"):
            wplus.jobs()


def test_several_directions_are_edited_at_once(serve, connect, tmp_path):
    for name in ("age", "light"):
        np.save(tmp_path / f"{name}.npy", np.ones(512))
    (tmp_path / "age.json").write_text('{"unit": "years", "safe": [-5, 5]}')
    code = np.full((18, 512), 0.2, np.float32)
    with serve(directions=tmp_path) as client, connect(client) as wplus:
        assert [each["name"] for each in wplus.directions()] == ["age", "light"]
        assert wplus.directions()[0]["safe"] == [-5, 5]
        one = wplus.edit(code, "light", 3.0).code
        assert np.allclose(wplus.edit(code, directions={"age": 2, "light": 1}).code, one)
        with pytest.raises(ServiceError, match="age must be from -5 to 5 years, got 6"):
            wplus.edit(code, "age", 6)
        assert wplus.edit(code, "age", 6, unsafe=True).code.mean() > one.mean()


def test_codes_are_read_in_both_encodings(client, connect):
    with connect(client) as wplus:
        numbers, packed = (wplus.generate(seed=7, encoding=e) for e in ("numbers", "base64"))
    assert numbers.code.dtype == packed.code.dtype == np.float32
    assert np.array_equal(numbers.code, packed.code)


@pytest.fixture
def gateway():
    """Make a server that answers one thing to the first request, and `{}` to those after it."""
    servers = []

    def start(status, headers, body):
        class Gateway(BaseHTTPRequestHandler):
            asked = 0

            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                Gateway.asked += 1
                first = Gateway.asked == 1
                self.send_response(status if first else 200)
                for name, value in headers.items() if first else ():
                    self.send_header(name, value)
                answer = body if first else b"{}"
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
        threading.Thread(target=server.serve_forever).start()
        servers.append(server)
        return Client(f"http://127.0.0.1:{server.server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (lambda: email.utils.formatdate(time.time() + 2, usegmt=True), (0.5, 3)),
        (lambda: email.utils.formatdate(time.time() - 60, usegmt=True), (0, 0.5)),
        (lambda: "0.2", (0.2, 1)),
        (lambda: "-3", (0, 0.5)),
        (lambda: "soon", (1, 2)),
        (lambda: "nan", (1, 2)),
    ],
    ids=["date", "past", "fraction", "negative", "word", "nan"],
)
def test_the_wait_may_have_any_header_format(gateway, retry_after, seconds, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with gateway(503, {"Retry-After": retry_after()}, b"") as wplus:
        assert wplus.send("POST", "/embed", content=b"x").status_code == 200
    (wait_s,) = waits
    assert seconds[0] <= wait_s < seconds[1]


PROBLEM = json.dumps({"code": "no-face", "detail": "no face was found"}).encode()


@pytest.mark.parametrize(
    ("status", "media", "body", "message"),
    [
        (422, "application/problem+json; charset=utf-8", PROBLEM, "no-face: no face was found"),
        (422, "Application/JSON", PROBLEM, "no-face: no face was found"),
        (413, "text/html", b"<html>too large</html>", "http-error: Request Entity Too Large"),
        (502, "application/problem+json", b"{", "http-error: Bad Gateway"),
        (403, "application/json", b'["no"]', "http-error: Forbidden"),
        (422, "application/json", b'{"detail": [{"msg": "x"}]}', "http-error: Unprocessable"),
    ],
)
def test_an_error_is_parsed_from_any_server(gateway, status, media, body, message):
    with gateway(status, {"Content-Type": media}, body) as wplus:
        with pytest.raises(ServiceError, match=message) as refusal:
            wplus.generate(seed=1)
        assert refusal.value.status == status


def test_a_redirect_names_the_new_address(gateway):
    client = gateway(301, {"Location": "https://elsewhere/"}, b"")
    with client as wplus, pytest.raises(ServiceError, match="moved to https://elsewhere/"):
        wplus.generate(seed=1)


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[]", b"{}", b'{"code": null}'])
def test_an_answer_from_another_server_is_an_error(gateway, body):
    client = gateway(200, {"Content-Type": "text/html"}, body)
    with client as wplus, pytest.raises(ServiceError, match="http-error: the answer must"):
        wplus.generate(seed=1)


def test_a_face_needs_no_details():
    assert Face(np.zeros((18, 512), np.float32), b"", None).media_type == "application/octet-stream"


def test_it_imports_neither_torch_nor_pillow():
    code = "import sys, wplus_client; sys.exit(bool({'torch', 'PIL'} & {*sys.modules}))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    "call",
    [
        "Face(np.zeros((18, 512)), b'', None).pil()",
        "Client().embed(np.zeros((9, 9, 3), np.uint8))",
    ],
)
def test_without_pillow_it_says_what_to_install(call):
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        f"import numpy as np; from wplus_client import Client, Face; {call}"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "ImportError: Pillow must be installed" in ended.stderr
    assert ended.stderr.rstrip().endswith("pip install pillow")


@pytest.mark.parametrize("tries", [0, -1])
def test_a_client_that_never_tries_is_refused(tries):
    with pytest.raises(ValueError, match=f"tries must be at least 1, got {tries}"):
        Client(tries=tries)


def test_clients_and_jobs_have_short_reprs():
    with Client("http://127.0.0.1:8000", key="secret-Zx81") as wplus:
        assert repr(wplus) == "Client('http://127.0.0.1:8000')"
        assert repr(Job(wplus, "abc")) == "Job(id='abc')"
