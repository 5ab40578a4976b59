"""C2PA manifests, read back by the reference library."""

import io
import json
import logging

import c2pa
import pytest
from PIL import Image

from model_core.output.provenance import COMPOSITE, GENERATED, SOURCE_TYPES
from service.errors import SigningError
from service.wire.signing import ContentSigner
from tests.service import photos
from tests.service.certificates import write_certificate
from tests.service.fakes import FakePredictor

PHOTO = photos.plain((102, 102, 102))


def noise(form):
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(out, form)
    return out.getvalue()


def read(media, data):
    """Return the state of a file's manifest, and the source type that it claims."""
    found = json.loads(c2pa.Reader(media, io.BytesIO(data)).json())
    manifest = found["manifests"][found["active_manifest"]]
    (actions,) = (a for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))
    (action,) = actions["data"]["actions"]
    return found["validation_state"], action["digitalSourceType"].removeprefix(SOURCE_TYPES)


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
