"""POST /edit on stand-ins, along directions from the operator's own files."""

import io

import numpy as np
import pytest

from service.wire.codes import write_npy
from tests.service.routes.test_edit import (
    DARK,
    LIGHT,
    NPY,
    PNG_JSON,
    code,
    latent,
    numbers,
    refusal,
    shown,
)

SPREAD = 0.5  # of the stand-in's codes along any direction


@pytest.fixture
def client(serve, tmp_path):
    """An application that knows a direction that lightens, and one for the first row alone."""
    every = np.ones(512)
    np.save(tmp_path / "light.npy", every)
    first = np.zeros((18, 512))
    first[0] = 1
    np.save(tmp_path / "first.npy", first)
    with serve(directions=tmp_path) as ready:
        yield ready


def change(strength):
    """What a strength adds to each element: the direction has 512 equal ones."""
    return strength * SPREAD / 512**0.5


def test_a_photo_is_moved_by_strength_in_units_of_the_spread(client):
    for strength in (-4, 0, 6.5):
        fields = {"direction": "light", "strength": str(strength)}
        answer = client.post("/edit", files={"image": DARK}, data=fields | PNG_JSON)
        assert np.allclose(numbers(answer.json()["code"]), 0.2 + change(strength), atol=1e-3)
        assert shown(answer)[0] == pytest.approx(255 * (0.2 + change(strength)), abs=1)


def test_rows_that_a_direction_leaves_stay(client):
    sources = {"code": code(0.2).tolist(), "direction": "first", "strength": 5}
    moved = numbers(client.post("/edit", json=sources).json()["code"])
    assert np.allclose(moved[0], 0.2 + change(5), atol=1e-6)
    assert np.allclose(moved[1:], 0.2, atol=1e-6)


def test_every_kind_of_source_can_be_edited(client):
    query = "/edit?direction=light&strength=1"
    npy = write_npy(code(0.8))
    calls = [
        {"files": {"image": LIGHT}},
        {"files": {"code": npy}},
        {"data": {"latent_id": latent(client, LIGHT)}},
        {"json": {"latent_id": latent(client, LIGHT)}},
        {"content": LIGHT, "headers": {"Content-Type": "image/png"}},
        {"content": npy, "headers": {"Content-Type": NPY}},
    ]
    for call in calls:
        moved = numbers(client.post(query, **call).json()["code"])
        assert np.allclose(moved, 0.8 + change(1), atol=1e-3), call


def test_moving_there_and_back_is_the_code_again(client):
    there = client.post("/edit", json={"code": code(0.5).tolist(), "direction": "light"})
    back = {"latent_id": there.json()["latent_id"], "direction": "light", "strength": -2}
    answer = client.post("/edit", json=back, headers={"Accept": NPY})
    assert np.allclose(np.load(io.BytesIO(answer.content)), 0.5, atol=1e-6)


def test_an_unknown_direction_is_told_with_those_there_are(client):
    answer = client.post("/edit", files={"image": DARK}, data={"direction": "age"})
    detail = refusal(answer, 422, "invalid-request")
    assert detail == "direction must be one of first, light, got age"
    assert answer.json()["errors"][0]["pointer"] == "#/direction"
    assert client.get("/version").json()["directions"] == ["first", "light"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"direction": "light", "strength": "11"},
        {"direction": "light", "strength": "nan"},
        {"direction": "light", "streng": "1"},
    ],
)
def test_wrong_options_are_refused(client, fields):
    answer = client.post("/edit", files={"image": DARK}, data=fields)
    refusal(answer, 422, "invalid-request")


def test_exactly_one_face_is_edited(client):
    two = [("image", DARK), ("image", LIGHT)]
    none = {"direction": "light"}
    for call in ({"files": two, "data": none}, {"json": none}):
        answer = client.post("/edit", **call)
        assert "exactly one of image, code, latent_id" in refusal(answer, 422, "invalid-request")


def test_a_code_of_another_generator_is_refused(client):
    body = {"code": {"data": code(0.5).tolist(), "fingerprint": "0" * 64}, "direction": "light"}
    refusal(client.post("/edit", json=body), 409, "model-mismatch")
