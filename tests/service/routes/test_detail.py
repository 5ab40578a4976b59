"""The detail of a code, on stand-ins that show it as a white corner."""

import base64
import io

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image

from model_core.latents.latent import Detail, Latent
from service.wire.codes import DetailId, GeneratorId, write_safetensors
from tests.service import photos
from tests.service.fakes import FakePredictor

DARK, LIGHT = photos.plain((51, 51, 51), form="PNG"), photos.plain((204, 204, 204), form="PNG")
SAFETENSORS = "application/vnd.safetensors"
WS = torch.full((18, 512), 0.2)


@pytest.fixture
def client(serve, tmp_path):
    """An application that knows a direction."""
    np.save(tmp_path / "light.npy", np.ones(512))
    with serve(directions=tmp_path) as ready:
        yield ready


def has_detail(answer):
    assert answer.status_code == 200, answer.text
    body = answer.json()
    with Image.open(io.BytesIO(base64.b64decode(body["image"]["data"]))) as image:
        shown = image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert shown == body["detail"]
    return shown


def detailed_file(shape=(2, 4, 4), value=1.0, fingerprint="d" * 64):
    generator = GeneratorId("fake", "f" * 64, (18, 512), DetailId(fingerprint, shape))
    latent = Latent(WS, Detail(torch.full(shape, value).half(), WS))
    return write_safetensors(latent, generator)


CALLS = {
    "embed": ("/embed", {"files": {"image": DARK}, "data": {"return": "both"}}),
    "edit": ("/edit", {"files": {"image": DARK}, "data": {"direction": "light"}}),
    "colorize": ("/colorize", {"files": {"gray": DARK, "color": LIGHT}}),
    "morph": ("/morph", {"files": [("image", DARK), ("image", LIGHT)]}),
}


@pytest.mark.parametrize("name", CALLS)
def test_photos_are_rendered_with_detail_unless_disabled(client, name):
    path, call = CALLS[name]
    assert has_detail(client.post(f"{path}?format=png", **call))
    assert not has_detail(client.post(f"{path}?format=png&detail=false", **call))


def test_unrequested_details_are_not_computed(serve):
    predictor = FakePredictor()
    with serve(predictor) as client:
        predictor.calls.clear()
        answer = client.post("/embed?detail=false", files={"image": DARK})
        assert answer.json()["detail"] is False
        assert "detail" not in answer.json()["timings_ms"]
        assert "detail" not in {operation for operation, _ in predictor.calls}


def test_merged_faces_and_faces_drawn_by_chance_have_none(client):
    merged = client.post("/merge?format=png", files={"identity": DARK, "attribute": LIGHT})
    assert not has_detail(merged)
    assert not has_detail(client.post("/generate?format=png", json={"seed": 1}))


def test_a_latent_id_keeps_the_detail_from_edit_to_edit(client):
    latent_id = client.post("/embed", files={"image": DARK}).json()["latent_id"]
    edited = client.post(
        "/edit?format=png", json={"latent_id": latent_id, "direction": "light", "strength": 1}
    )
    assert has_detail(edited)
    again = {"latent_id": edited.json()["latent_id"], "format": "png"}
    assert has_detail(client.post("/generate", json=again))
    assert not has_detail(client.post("/generate", json=again | {"detail": False}))


def test_a_range_of_rows_leaves_the_detail_to_the_second(client):
    latent_id = client.post("/embed", files={"image": DARK}).json()["latent_id"]
    ends = [{"latent_id": latent_id}, {"code": WS.tolist()}]
    rows = {"first_row": 0, "last_row": 7, "format": "png"}
    assert not has_detail(client.post("/morph", json={"sources": ends} | rows))
    assert has_detail(client.post("/morph", json={"sources": ends[::-1]} | rows))


def test_a_safetensors_file_carries_it_there_and_back(client):
    headers = {"Accept": SAFETENSORS}
    file = client.post("/embed", files={"image": DARK}, headers=headers).content
    tensors = safetensors.numpy.load(file)
    assert {name: array.dtype for name, array in tensors.items()} == {
        "ws": np.float32,
        "detail": np.float16,
        "home": np.float32,
    }
    sent = {"content": file, "headers": {"Content-Type": SAFETENSORS}}
    assert has_detail(client.post("/generate?format=png", **sent))
    assert not has_detail(client.post("/generate?format=png&detail=false", **sent))
    bare = client.post("/embed?detail=false", files={"image": DARK}, headers=headers).content
    assert list(safetensors.numpy.load(bare)) == ["ws"]


@pytest.mark.parametrize(
    ("file", "status", "words"),
    [
        (detailed_file(fingerprint="e" * 64), 409, "detail=false reads the code alone"),
        (detailed_file(shape=(2, 8, 8)), 422, "detail must have the shape (2, 4, 4)"),
        (detailed_file(value=torch.nan), 422, "finite"),
        (detailed_file(value=torch.inf), 422, "finite"),
    ],
)
def test_a_detail_that_does_not_fit_is_refused(client, file, status, words):
    call = {"content": file, "headers": {"Content-Type": SAFETENSORS}}
    answer = client.post("/generate", **call)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]
    assert client.post("/generate?detail=false", **call).status_code == 200


def test_a_detail_without_its_home_is_refused(client):
    tensors = safetensors.numpy.load(detailed_file())
    del tensors["home"]
    file = safetensors.numpy.save(tensors, {"detail_fingerprint": "d" * 64})
    answer = client.post("/generate", content=file, headers={"Content-Type": SAFETENSORS})
    assert answer.status_code == 422
    assert "home" in answer.json()["detail"]


def test_a_generator_without_detail_renders_codes_alone(serve):
    predictor = FakePredictor()
    predictor.detail_shape = predictor.detail_digest = None
    with serve(predictor) as client:
        assert not has_detail(client.post("/embed?return=both&format=png", files={"image": DARK}))
        call = {"content": detailed_file(), "headers": {"Content-Type": SAFETENSORS}}
        answer = client.post("/generate", **call)
        assert answer.status_code == 409
        assert client.get("/version").json()["detail"] is None


def test_version_names_the_detail_decoder(client):
    assert client.get("/version").json()["detail"] == "d" * 64
