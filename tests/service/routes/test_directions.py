"""POST /edit on stand-ins, along directions from the operator's own files."""

import io
import json
import threading

import numpy as np
import pytest

from service.wire.codes import write_npy
from tests.service.fakes import FakeAligner, wait_until
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
AGE = {
    "title": "Age",
    "unit": "years",
    "deviations_per_unit": 0.1,
    "safe": [-20, 25.5],
    "default": 15,
    "moves_along": {"light": 0.5},
    "description": "Older.",
    "measured_by": "a birth certificate",
}


@pytest.fixture
def client(serve, tmp_path):
    """An application that knows three directions.

    One lightens, one moves the first row alone, and one lightens by years and is calibrated.
    """
    every = np.ones(512)
    np.save(tmp_path / "light.npy", every)
    first = np.zeros((18, 512))
    first[0] = 1
    np.save(tmp_path / "first.npy", first)
    np.save(tmp_path / "age.npy", every)
    (tmp_path / "age.json").write_text(json.dumps(AGE))
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


def test_an_unknown_direction_error_lists_the_known_ones(client):
    answer = client.post("/edit", files={"image": DARK}, data={"direction": "pose"})
    detail = refusal(answer, 422, "invalid-request")
    assert detail == "direction must be one of age, first, light, got pose"
    assert answer.json()["errors"][0]["pointer"] == "#/direction"
    answer = client.post("/edit", files={"image": DARK}, data={"directions": "light:1,pose:1"})
    detail = refusal(answer, 422, "invalid-request")
    assert detail == "directions must be one of age, first, light, got pose"
    assert answer.json()["errors"][0]["pointer"] == "#/directions"
    assert client.get("/version").json()["directions"] == ["age", "first", "light"]


def test_several_directions_add_up_in_their_units(client):
    wanted = 0.2 + change(1.5) + change(-10 * AGE["deviations_per_unit"])
    text = "light:1.5, age:-10,first:2"
    calls = [
        {"files": {"image": DARK}, "data": {"directions": text}},
        {"json": {"code": code(0.2).tolist(), "directions": text}},
        {
            "json": {
                "code": code(0.2).tolist(),
                "directions": {"light": 1.5, "age": -10, "first": 2},
            }
        },
        {"params": {"directions": text}, "json": {"code": code(0.2).tolist()}},
    ]
    for call in calls:
        moved = numbers(client.post("/edit", **call).json()["code"])
        assert np.allclose(moved[1:], wanted, atol=1e-3), call
        assert np.allclose(moved[0], wanted + change(2), atol=1e-3), call


def test_a_direction_without_strength_takes_its_default(client):
    for name, deviations in (("light", 2), ("age", 1.5)):
        body = {"code": code(0.2).tolist(), "direction": name}
        moved = numbers(client.post("/edit", json=body).json()["code"])
        assert np.allclose(moved, 0.2 + change(deviations), atol=1e-5), name


@pytest.mark.parametrize(
    ("fields", "name", "said"),
    [
        ({"direction": "age", "strength": 26}, "strength", "age must be from -20 to 25.5 years"),
        ({"directions": "age:-21"}, "directions", "age must be from -20 to 25.5 years"),
        ({"directions": "age:101", "unsafe": True}, "directions", "age must be from -100 to 100"),
        ({"directions": "light:11"}, "directions", "light must be from -10 to 10 standard"),
    ],
)
def test_an_out_of_range_value_error_names_the_range(client, fields, name, said):
    answer = client.post("/edit", json={"code": code(0.2).tolist(), **fields})
    detail = refusal(answer, 422, "invalid-request")
    assert detail.startswith(said)
    assert ("unsafe=true" in detail) == ("25.5" in said)
    assert answer.json()["errors"] == [{"pointer": f"#/{name}", "detail": detail}]


def test_unsafe_allows_values_out_of_the_safe_range(client):
    body = {"code": code(0.2).tolist(), "direction": "age", "strength": 30, "unsafe": True}
    moved = numbers(client.post("/edit", json=body).json()["code"])
    assert np.allclose(moved, 0.2 + change(3), atol=1e-5)


def test_directions_are_listed_with_their_properties(client):
    age, first, light = client.get("/directions").json()["directions"]
    assert age == {
        "name": "age",
        "title": "Age",
        "unit": "years",
        "safe": [-20, 25.5],
        "calibrated": True,
        "furthest": [-100, 100],
        "default": 15,
        "rows": [0, 17],
        "moves_along": {"light": 0.5},
        "description": "Older.",
        "measured_by": "a birth certificate",
    }
    assert first["rows"] == [0, 0]
    assert (light["safe"], light["calibrated"]) == ([-10, 10], False)
    assert (light["title"], light["unit"], light["default"]) == ("light", "standard deviations", 2)


def test_directions_cannot_be_listed_before_they_are_loaded(serve):
    go = threading.Event()

    class Slow(FakeAligner):
        def __init__(self):
            go.wait(10)

    with serve(aligner=Slow, wait=False) as loading:
        refusal(loading.get("/directions"), 503, "not-ready")
        go.set()
        wait_until(lambda: loading.runtime.ready)
        assert loading.get("/directions").status_code == 200


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


def test_a_name_without_end_is_not_repeated(client):
    answer = client.post("/edit", json={"latent_id": "x", "directions": {"a" * 5000: 1.0}})
    assert answer.status_code == 422
    assert len(answer.text) < 2000
