"""Several photos in one request: /embed answers each, /morph goes from one to the next."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.service import photos
from tests.service.fakes import FakePredictor

DARK, GREY, LIGHT = (photos.plain((level,) * 3, form="PNG") for level in (51, 102, 204))
BROKEN = DARK[: len(DARK) // 2]


def refusal(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()["detail"]


def images(*data):
    return [("image", (f"{i}.png", each)) for i, each in enumerate(data)]


def mean_of(code):
    return float(np.frombuffer(base64.b64decode(code["data"]), "<f4").mean())


def test_each_photo_has_its_own_answer_or_problem(client):
    answer = client.post("/embed", files=images(DARK, BROKEN, LIGHT))
    assert answer.status_code == 200
    first, second, third = answer.json()["results"]
    assert mean_of(first["answer"]["code"]) == pytest.approx(0.2, abs=0.01)
    assert mean_of(third["answer"]["code"]) == pytest.approx(0.8, abs=0.01)
    assert first["answer"]["latent_id"] != third["answer"]["latent_id"]
    assert first["answer"]["quality"]["lpips"] == 0.4
    assert first["answer"]["timings_ms"]["encode"] >= 0
    assert (second["problem"]["code"], second["problem"]["status"]) == ("broken-image", 422)
    assert "answer" not in second
    assert "problem" not in first
    assert answer.json()["timings_ms"]["total"] > 0


def test_json_takes_a_list_even_of_one(client):
    texts = [base64.b64encode(data).decode() for data in (DARK, LIGHT)]
    for count in (1, 2):
        answer = client.post("/embed", json={"images": texts[:count], "return": "both"})
        results = answer.json()["results"]
        assert len(results) == count
        assert "data" in results[0]["answer"]["image"]


def problem_of(result, code, words):
    assert "answer" not in result
    problem = result["problem"]
    assert problem["code"] == code
    assert words in problem["detail"]


def test_a_photo_whose_base64_is_broken_has_its_own_problem(client):
    dark = base64.b64encode(DARK).decode()
    answer = client.post("/embed", json={"images": [dark, "not base64!", "", dark]})
    assert answer.status_code == 200, answer.text
    first, second, third, fourth = answer.json()["results"]
    assert mean_of(first["answer"]["code"]) == mean_of(fourth["answer"]["code"])
    problem_of(second, "invalid-request", "images/1 must be base64, got a space at 3")
    assert second["problem"]["errors"][0]["pointer"] == "#/images/1"
    problem_of(third, "empty-body", "images/2 must not be empty")


def test_a_list_of_one_broken_photo_has_its_problem_too(client):
    (result,) = client.post("/embed", json={"images": ["!"]}).json()["results"]
    problem_of(result, "invalid-request", "images/0 must be base64, got ! at 0")


def test_a_form_field_that_is_no_photo_has_its_own_problem(client):
    files = [*images(DARK), ("image", ("empty.png", b""))]
    answer = client.post("/embed", files=files, data={"image": "photo.jpg"})
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert sum("answer" in result for result in results) == 1
    codes = {result["problem"]["code"] for result in results if "problem" in result}
    assert codes == {"invalid-request", "empty-body"}


def test_people_to_blend_must_all_be_readable(client):
    answer = client.post("/morph", files=images(DARK), data={"image": "photo.jpg"})
    assert "with curl a file needs an @" in refusal(answer, 422, "invalid-request")


def test_budgets_of_several_photos_end_before_the_deadline(serve):
    with serve(deadline_s=1.5) as client:
        asked = {"budget_ms": "1500"}
        answer = client.post("/embed", files=images(DARK, LIGHT, GREY, DARK), data=asked)
    assert answer.status_code == 200, answer.text
    for result in answer.json()["results"]:
        assert result["answer"]["polish_steps"] > 0
        assert result["answer"]["timings_ms"]["polish"] < 400


def test_a_service_failure_fails_the_request(serve):
    class Broken(FakePredictor):
        broken = False

        def embed(self, faces):
            if self.broken:
                raise ValueError("a fault")
            return super().embed(faces)

    predictor = Broken()
    with serve(predictor) as client:
        predictor.broken = True
        refusal(client.post("/embed", files=images(DARK, LIGHT)), 500, "internal")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"files": images(*[DARK] * 5)}, "image must be given at most 4 times, got 5"),
        (
            {"files": images(DARK, LIGHT), "headers": {"Accept": "image/jpeg"}},
            "image must be given once when Accept is image/jpeg, got 2",
        ),
        (
            {"files": images(DARK, LIGHT), "data": {"output": "photo"}},
            "output must be face with several photos",
        ),
        ({"json": {"image": "AA==", "images": ["AA=="]}}, "images must be omitted"),
        ({"json": {}}, "image must be given, got none"),
        ({"data": {"format": "png"}}, "image must be given once, got 0"),
    ],
)
def test_invalid_values_are_refused(client, call, words):
    assert words in refusal(client.post("/embed", **call), 422, "invalid-request")


def test_the_limit_is_a_setting(serve):
    with serve(max_images=5) as client:
        answer = client.post("/embed", files=images(*[DARK] * 5))
    assert len(answer.json()["results"]) == 5


def shades(answer):
    """The grey level of every frame."""
    assert answer.status_code == 200, answer.text
    levels = []
    for frame in answer.json()["frames"]:
        with Image.open(io.BytesIO(base64.b64decode(frame["image"]["data"]))) as image:
            levels.append(image.convert("RGB").getpixel((5, 5))[0])
    return levels


def test_a_morph_goes_from_person_to_person(client):
    asked = {"steps": "5", "format": "png"}
    answer = client.post("/morph", files=images(DARK, LIGHT, GREY), data=asked)
    assert shades(answer) == pytest.approx([51, 128, 204, 153, 102], abs=1)
    frames = [(frame["first"], frame["lam"]) for frame in answer.json()["frames"]]
    assert frames == [(0, 1), (0, 0.5), (1, 1), (1, 0.5), (1, 0)]


@pytest.mark.parametrize("steps", [3, 4, 7, 23])
def test_every_person_on_the_way_is_met_if_the_steps_allow(client, steps):
    asked = {"steps": steps, "format": "png"}
    levels = shades(client.post("/morph", files=images(DARK, LIGHT, GREY), data=asked))
    assert len(levels) == steps
    assert (levels[0], levels[-1]) == (pytest.approx(51, abs=1), pytest.approx(102, abs=1))
    if steps % 2:
        assert levels[steps // 2] == pytest.approx(204, abs=1)


def test_several_people_are_an_animation_by_default(client):
    files = images(DARK, LIGHT, GREY)
    assert len(client.post("/morph", files=files).json()["frames"]) == 24
    answer = client.post("/morph", files=files, headers={"Accept": "image/webp"})
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.n_frames == 24 + 22


@pytest.mark.parametrize(
    ("files", "data", "words"),
    [
        (images(DARK), {}, "sources must be 2 to 4 photos, codes or latent ids, got 1"),
        (images(*[DARK] * 5), {}, "sources must be 2 to 4 photos, codes or latent ids, got 5"),
        (images(DARK, LIGHT, GREY), {"lam": "0.5"}, "lam must be omitted with 3 sources"),
        (images(DARK, LIGHT, GREY), {"steps": "2"}, "steps must be at least 3"),
    ],
)
def test_a_morph_with_a_missing_face_is_refused(client, files, data, words):
    assert words in refusal(client.post("/morph", files=files, data=data), 422, "invalid-request")


def test_no_person_is_left_out_of_an_animation(serve):
    with serve(max_images=30) as client:
        frames = client.post("/morph", files=images(*[DARK, LIGHT] * 15)).json()["frames"]
    assert len(frames) == 30
    assert {frame["first"] for frame in frames} == set(range(29))
