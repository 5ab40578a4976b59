"""C2PA manifests, read back by the reference library."""

import io
import json
import logging
import socket
import threading
import time

import c2pa
import pytest
from PIL import Image

from model_core.output.provenance import COMPOSITE, GENERATED, SOURCE_TYPES
from service.errors import SigningError
from service.wire.signing import TIMESTAMPS_AT_ONCE, ContentSigner
from tests.service import photos
from tests.service.certificates import write_certificate
from tests.service.fakes import FakePredictor, in_background, wait_until

PHOTO = photos.plain((102, 102, 102))


def noise(form):
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(out, form)
    return out.getvalue()


def read(media, data):
    """Return the state of a file's manifest, and the source type that it claims."""
    state, (action,), _ = read_all(media, data)
    return state, action["digitalSourceType"].removeprefix(SOURCE_TYPES)


def read_all(media, data):
    """Return the state of a file's manifest, its actions, and the manifests of its parents."""
    found = json.loads(c2pa.Reader(media, io.BytesIO(data)).json())
    manifest = found["manifests"][found["active_manifest"]]
    (actions,) = (a for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
    parents = [
        found["manifests"][each["active_manifest"]]
        for each in manifest.get("ingredients", ())
        if each["relationship"] == "parentOf"
    ]
    return found["validation_state"], actions["data"]["actions"], parents


@pytest.fixture
def silent():
    """The URL of an authority that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/tsa"


@pytest.mark.parametrize("kind", ["es256", "es384", "ps256"])
def test_every_kind_of_key_signs(tmp_path, kind):
    signer = ContentSigner(*write_certificate(tmp_path, kind), None, "1.2.3")
    signed = signer.sign(noise("JPEG"), "image/jpeg", COMPOSITE)
    assert read("image/jpeg", signed) == ("Valid", COMPOSITE)
    assert b"1.2.3" in signed
    assert len(signed) - len(noise("JPEG")) < 20_000


def test_a_changed_pixel_is_measured(tmp_path):
    signer = ContentSigner(*write_certificate(tmp_path), None, "1")
    signed = bytearray(signer.sign(noise("JPEG"), "image/jpeg", GENERATED))
    signed[-300] ^= 1
    state, _ = read("image/jpeg", bytes(signed))
    assert state == "Invalid"


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/embed", "image/jpeg"),
        ("/embed", "image/png"),
        ("/embed", "image/webp"),
        ("/morph", "image/gif"),
        ("/morph?steps=2", "image/webp"),
    ],
)
def test_every_image_that_leaves_is_signed(serve, tmp_path, path, accept):
    certificate, key = write_certificate(tmp_path)
    files = [("image", PHOTO)] * (2 if path.startswith("/morph") else 1)
    with serve(FakePredictor(), c2pa_certificate=certificate, c2pa_key=key) as client:
        answer = client.post(path, files=files, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    assert read(accept, answer.content) == ("Valid", GENERATED)
    assert b"trainedAlgorithmicMedia" in answer.content


def make_photo(signer, form="JPEG"):
    """A photo that another system has generated and signed."""
    out = io.BytesIO()
    Image.new("RGB", (96, 96), (102, 102, 102)).save(out, form, quality=95)
    return signer.sign(out.getvalue(), f"image/{form.lower()}", GENERATED)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_composite_keeps_the_manifest_of_its_photo(serve, tmp_path, form):
    (tmp_path / "theirs").mkdir()
    theirs = ContentSigner(*write_certificate(tmp_path / "theirs"), None, "their version")
    certificate, key = write_certificate(tmp_path)
    call = {
        "files": {"image": make_photo(theirs, form)},
        "data": {"output": "photo"},
        "headers": {"Accept": "image/png"},
    }
    with serve(FakePredictor(), c2pa_certificate=certificate, c2pa_key=key) as client:
        answer = client.post("/embed", **call)
        face = client.post("/embed", **call | {"data": {"output": "face"}})
    assert answer.status_code == 200, answer.text
    state, (opened, edited), (parent,) = read_all("image/png", answer.content)
    assert state == "Valid"
    assert opened["action"] == "c2pa.opened"
    assert edited["action"] == "c2pa.edited"
    assert edited["digitalSourceType"] == SOURCE_TYPES + COMPOSITE
    assert parent["claim_generator_info"][0]["version"] == "their version"
    assert read("image/png", face.content) == ("Valid", GENERATED)  # shows none of its pixels


def test_a_photo_without_a_manifest_has_no_parent(tmp_path):
    signer = ContentSigner(*write_certificate(tmp_path), None, "1")
    for photo in (noise("JPEG"), noise("BMP"), b"no image", noise("JPEG")[:200]):
        signed = signer.sign(noise("PNG"), "image/png", COMPOSITE, photo)
        assert read("image/png", signed) == ("Valid", COMPOSITE)


def test_a_damaged_manifest_is_no_obstacle(tmp_path):
    signer = ContentSigner(*write_certificate(tmp_path), None, "1")
    whole = make_photo(signer)
    start = whole.index(b"jumb")
    for damage in (slice(start - 4, start), slice(start + 40, start + 400)):
        damaged = bytearray(whole)
        damaged[damage] = b"\xff" * (damage.stop - damage.start)
        signed = signer.sign(noise("PNG"), "image/png", COMPOSITE, bytes(damaged))
        assert read_all("image/png", signed)[0] == "Valid"


def test_a_manifest_elsewhere_is_not_fetched(tmp_path):
    signer = ContentSigner(*write_certificate(tmp_path), None, "1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/photo.c2pa"
        xmp = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-'
            'rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/"'
            f' dcterms:provenance="{url}"/></rdf:RDF></x:xmpmeta>'
        )
        out = io.BytesIO()
        Image.new("RGB", (64, 64)).save(out, "JPEG", xmp=xmp.encode())
        signed = signer.sign(noise("PNG"), "image/png", COMPOSITE, out.getvalue())
        with pytest.raises(BlockingIOError):
            server.accept()
    assert read("image/png", signed) == ("Valid", COMPOSITE)


def test_a_silent_authority_holds_no_request_beyond_its_deadline(serve, tmp_path, silent):
    certificate, key = write_certificate(tmp_path)
    settings = {"c2pa_certificate": certificate, "c2pa_key": key, "c2pa_timestamp_url": silent}
    with serve(FakePredictor(), deadline_s=1.5, **settings) as client:
        call = {"files": {"image": PHOTO}, "headers": {"Accept": "image/png"}}
        calls = [in_background(lambda: client.post("/embed", **call)) for _ in range(6)]
        for thread, _ in calls:
            thread.join()
        started_s = time.monotonic()
        other = client.post("/embed", files={"image": PHOTO})  # a code alone is not signed
        assert time.monotonic() - started_s < 1.5
    answers = [answer for _, done in calls for answer in done]
    assert {(each.status_code, each.json()["code"]) for each in answers} == {
        (503, "signing-unavailable")
    }
    assert other.status_code == 200


def test_a_silent_authority_does_not_keep_the_threads_of_others(serve, tmp_path, silent):
    certificate, key = write_certificate(tmp_path)
    settings = {"c2pa_certificate": certificate, "c2pa_key": key, "c2pa_timestamp_url": silent}
    image = {"image": PHOTO}
    with serve(FakePredictor(), deadline_s=3.0, **settings) as client:
        calls = [
            in_background(lambda wanted=wanted: client.post("/embed", data=wanted, files=image))
            for wanted in ({"return": "image"}, {"return": "both"}) * 2
        ]
        time.sleep(0.7)  # all are at the authority
        assert client.post("/embed", files=image).status_code == 200
        assert all(thread.is_alive() for thread, _ in calls)
        for thread, _ in calls:
            thread.join()


def test_few_signatures_wait_for_their_time_stamp_at_once(tmp_path, silent, monkeypatch):
    signer = ContentSigner(*write_certificate(tmp_path), silent, "1")
    begun, stamped = [], threading.Event()

    def wait(*_given):
        begun.append(threading.current_thread().name)
        assert stamped.wait(60)
        return b"signed"

    monkeypatch.setattr(signer, "_sign", wait)
    calls = [
        in_background(lambda: signer.sign(b"", "image/png", GENERATED, left_s=5)) for _ in range(9)
    ]
    wait_until(lambda: len(begun) == TIMESTAMPS_AT_ONCE, 60)
    time.sleep(0.2)  # in which no more may begin
    assert len(begun) == TIMESTAMPS_AT_ONCE
    stamped.set()
    for thread, done in calls:
        thread.join()
        assert done == [b"signed"]


def test_a_time_stamp_that_comes_too_late_is_an_error(tmp_path, silent, monkeypatch):
    signer = ContentSigner(*write_certificate(tmp_path), silent, "1")
    monkeypatch.setattr("service.wire.signing.TIMESTAMP_S", 0.3)
    with pytest.raises(SigningError, match=r"no time stamp came within 0\.3 s"):
        signer.sign(noise("PNG"), "image/png", GENERATED)
    monkeypatch.setattr("service.wire.signing.TIMESTAMP_S", 60)
    started_s = time.monotonic()
    with pytest.raises(SigningError, match="no time stamp came within"):
        signer.sign(noise("PNG"), "image/png", GENERATED, left_s=-1.0)
    assert time.monotonic() - started_s < 30


def test_an_image_that_cannot_be_signed_is_not_sent(serve, tmp_path, monkeypatch):
    certificate, key = write_certificate(tmp_path)
    with serve(FakePredictor(), c2pa_certificate=certificate, c2pa_key=key) as client:
        monkeypatch.setattr(client.runtime.signer, "_timestamp_url", "http://127.0.0.1:9/tsa")
        answer = client.post("/embed", files={"image": PHOTO}, headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (503, "signing-unavailable")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda certificate, key: (certificate, key.with_name("none.pem")), "must be a file"),
        (lambda certificate, key: (certificate, certificate), "must be a PEM private key"),
        (lambda certificate, key: (key, key), "must be a certificate"),
    ],
)
def test_signing_problems_are_found_at_start(tmp_path, spoil, message, caplog):
    files = spoil(*write_certificate(tmp_path))
    with caplog.at_level(logging.DEBUG), pytest.raises(SigningError, match=message) as refused:
        ContentSigner(*files, None, "1")
    assert "PRIVATE" not in str(refused.value) + caplog.text


def test_a_certificate_needs_its_key(serve, tmp_path):
    certificate, _ = write_certificate(tmp_path)
    with pytest.raises(SigningError, match="given together"), serve(c2pa_certificate=certificate):
        pass
