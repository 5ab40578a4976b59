"""POST /merge on stand-ins: even elements of a code tell the identity, odd ones the attributes."""

import base64
import io

import numpy as np
import pytest

from service.wire.codes import write_npy
from tests.service import photos
from tests.service.routes.test_edit import DARK, LIGHT, NPY, code, numbers, refusal

PAIR = {"identity": LIGHT, "attribute": DARK}


def parts(ws):
    return ws[:, 0::2], ws[:, 1::2]


def test_identity_and_attributes_come_from_their_photos(client):
    answer = client.post("/merge", files=PAIR)
    even, odd = parts(numbers(answer.json()["code"]))
    assert np.allclose(even, 0.8, atol=0.01)
    assert np.allclose(odd, 0.2, atol=0.01)
    assert {"merge", "synthesize", "queue", "total"} <= answer.json()["timings_ms"].keys()
    again = client.post("/generate", json={"latent_id": answer.json()["latent_id"]})
    assert np.array_equal(numbers(again.json()["code"]), numbers(answer.json()["code"]))


def test_json_asks_for_the_same(client):
    body = {name: base64.b64encode(data).decode() for name, data in PAIR.items()}
    even, odd = parts(numbers(client.post("/merge", json=body).json()["code"]))
    assert even.mean() > odd.mean()
    wrong = client.post("/merge", json=body | {"attribute": "no base64"})
    refusal(wrong, 422, "invalid-request")
    assert wrong.json()["errors"][0]["pointer"] == "#/attribute"


def test_accept_chooses_an_image_or_a_code_file(client):
    image = client.post("/merge", files=PAIR, headers={"Accept": "image/png"})
    assert image.headers["content-type"] == "image/png"
    assert image.headers["x-content-provenance"] == "ai-generated"
    file = client.post("/merge", files=PAIR, headers={"Accept": NPY})
    assert np.load(io.BytesIO(file.content)).shape == (18, 512)
    assert "synthesize" not in file.headers["server-timing"]


@pytest.mark.parametrize("missing", ["identity", "attribute"])
def test_both_photos_are_needed(client, missing):
    files = {name: data for name, data in PAIR.items() if name != missing}
    answer = client.post("/merge", files=files)
    assert f"{missing} must be given once" in refusal(answer, 422, "invalid-request")


def test_codes_cannot_be_merged(client):
    answer = client.post("/merge", files=PAIR | {"attribute": write_npy(code(0.2))})
    assert "attribute must be a photo" in refusal(answer, 422, "invalid-request")


def test_a_photo_without_a_face_is_refused(client):
    black = photos.plain((0, 0, 0), form="PNG")
    refusal(client.post("/merge", files=PAIR | {"identity": black}), 422, "no-face")
