"""The Python client, against the application on stand-ins."""

import io
import subprocess
import sys

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

from service.wplus_client import Client, ServiceError
from tests.service import photos

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


def test_a_busy_service_is_asked_again_when_it_says_so(serve, connect):
    with serve(rate_limit="1/second") as application:
        with connect(application) as wplus:
            assert wplus.embed(PHOTO).latent_id != wplus.embed(PHOTO).latent_id
        with connect(application, tries=1) as wplus, pytest.raises(ServiceError) as refusal:
            [wplus.embed(PHOTO) for _ in range(10)]
        assert (refusal.value.code, refusal.value.status) == ("rate-limited", 429)


def test_a_service_that_is_away_is_an_error_of_transport():
    with Client("http://127.0.0.1:1", tries=1) as wplus, pytest.raises(httpx.TransportError):
        wplus.embed(PHOTO)


def test_it_brings_no_torch():
    code = "import sys, service.wplus_client; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
