"""POST /morph, /colorize and /generate on stand-ins, where a code shows in every pixel."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from model_core.latents.latent import Latent
from service.wire.codes import GeneratorId, write_code, write_npy, write_safetensors
from tests.service import photos
from tests.service.fakes import FakePredictor, Held, in_background, wait_until

GENERATOR = GeneratorId("fake", "f" * 64, (18, 512))
DARK, LIGHT = photos.plain((51, 51, 51), form="PNG"), photos.plain((204, 204, 204), form="PNG")
NPY, SAFETENSORS = "application/x-npy", "application/vnd.safetensors"


def code(value):
    return torch.full((18, 512), value)


def pixel(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").getpixel((5, 5))


def shown(answer):
    """The pixel that a JSON answer's image shows."""
    assert answer.status_code == 200, answer.text
    return pixel(base64.b64decode(answer.json()["image"]["data"]))


def shades_of(answer):
    """The grey level of every frame of an animation."""
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        return [f.convert("RGB").getpixel((5, 5))[0] for f in ImageSequence.Iterator(image)]


def numbers(code_object):
    return np.frombuffer(base64.b64decode(code_object["data"]), "<f4").reshape(18, 512)


def refusal(answer, status, name):
    assert (answer.status_code, answer.json()["code"]) == (status, name), answer.text
    return answer.json()["detail"]


def latent(client, photo):
    return client.post("/embed", files={"image": photo}).json()["latent_id"]


PNG_JSON = {"format": "png"}


def test_lam_one_is_the_first_photo(client):
    files = [("image", LIGHT), ("image", DARK)]
    for lam, shade in (("1", 204), ("0", 51), ("0.25", 89)):
        answer = client.post("/morph", files=files, data={"lam": lam} | PNG_JSON)
        assert shown(answer)[0] == pytest.approx(shade, abs=1)
        assert np.abs(numbers(answer.json()["code"]) * 255 - shade).max() < 1
    halfway = client.post("/morph", files=files, data=PNG_JSON)
    assert shown(halfway)[0] == pytest.approx(128, abs=1)


def test_a_row_range_leaves_the_other_rows_to_the_second(client):
    sources = [{"code": code(0.8).tolist()}, {"code": code(0.2).tolist()}]
    rows = {"first_row": 1, "last_row": 7}
    answer = client.post("/morph", json={"sources": sources, "lam": 1} | rows | PNG_JSON)
    assert shown(answer) == pytest.approx((51, 204, 51), abs=1)  # rows 0, 7 and 8
    frames = client.post("/morph", json={"sources": sources, "steps": 2} | rows).json()["frames"]
    assert np.array_equal(numbers(frames[0]["code"]), numbers(answer.json()["code"]))
    wrong = client.post("/morph", json={"sources": sources, "first_row": 9, "last_row": 3})
    assert "last_row" in refusal(wrong, 422, "invalid-input")


def test_every_pair_of_sources_can_be_morphed(client):
    light_id = latent(client, LIGHT)
    dark_npy, dark_file = write_npy(code(0.2)), write_safetensors(Latent(code(0.2)), GENERATOR)
    dark_json = write_code(code(0.2), GENERATOR)
    calls = [
        {"files": [("latent_id", (None, light_id)), ("image", DARK)]},
        {"files": [("latent_id", (None, light_id)), ("code", dark_npy)]},
        {"files": [("latent_id", (None, light_id)), ("code", dark_file)]},
        {"files": [("image", LIGHT), ("image", dark_npy)]},
        {"files": [("image", LIGHT), ("code", (None, json.dumps(dark_json)))]},
        {"json": {"sources": [{"latent_id": light_id}, {"code": dark_json}]}},
        {"json": {"sources": [{"latent_id": light_id}, {"code": dark_json | {"shape": None}}]}},
        {"json": {"sources": [{"latent_id": light_id}, {"code": code(0.2).tolist()}]}},
        {
            "json": {
                "sources": [
                    {"image": base64.b64encode(LIGHT).decode()},
                    {"image": base64.b64encode(DARK).decode()},
                ]
            }
        },
    ]
    for call in calls:
        answer = client.post("/morph?lam=0.75&format=png", **call)
        assert shown(answer)[0] == pytest.approx(166, abs=1), call


def test_steps_are_frames_from_the_first_to_the_second(client):
    files = [("image", LIGHT), ("image", DARK)]
    answer = client.post("/morph", files=files, data={"steps": "5"} | PNG_JSON)
    times = answer.json()["timings_ms"]
    assert times["queue"] + times["encode"] + times["synthesize"] <= times["total"]
    frames = answer.json()["frames"]
    assert [frame["lam"] for frame in frames] == [1, 0.75, 0.5, 0.25, 0]
    shades = [pixel(base64.b64decode(frame["image"]["data"]))[0] for frame in frames]
    assert shades == pytest.approx([204, 166, 128, 89, 51], abs=1)
    assert np.abs(numbers(frames[1]["code"]) * 255 - 166).max() < 1
    assert answer.json()["timings_ms"]["total"] > 0


def test_codes_alone_need_no_rendering(client):
    files = [("image", LIGHT), ("image", DARK)]
    answer = client.post("/morph", files=files, data={"steps": "3", "return": "code"})
    assert all("image" not in frame for frame in answer.json()["frames"])
    assert "synthesize" not in answer.json()["timings_ms"]
    answer = client.post("/morph", files=files, data={"lam": "1"}, headers={"Accept": NPY})
    assert np.abs(np.load(io.BytesIO(answer.content)) - 0.8).max() < 0.01
    assert "synthesize" not in answer.headers["server-timing"]


def test_the_number_of_morphs_with_frames_in_memory_is_limited(serve):
    predictor = Held()
    with serve(predictor, max_animations=1, max_batch=2) as client:
        ids = [client.post("/generate", json={"seed": seed}).json()["latent_id"] for seed in (1, 2)]
        body = {"sources": [{"latent_id": latent_id} for latent_id in ids], "steps": 4}
        predictor.hold = True
        calls = [in_background(lambda: client.post("/morph", json=body)) for _ in range(2)]
        runtime = client.runtime
        wait_until(lambda: runtime.animations.turn.statistics().tasks_waiting == 1)
        assert sum(batcher.depth for batcher in runtime.engine.batchers) <= 1
        refusal(client.post("/morph", json=body), 429, "overloaded")
        predictor.go.set()
        for thread, answers in calls:
            thread.join()
            assert len(answers[0].json()["frames"]) == 4


@pytest.mark.parametrize(("accept", "form"), [("image/webp", "WEBP"), ("image/gif", "GIF")])
def test_steps_can_be_an_animation(client, accept, form):
    files = [("image", LIGHT), ("image", DARK)]
    answer = client.post(
        "/morph", files=files, data={"steps": "4", "frame_ms": "150"}, headers={"Accept": accept}
    )
    assert answer.headers["content-type"] == accept
    assert answer.headers["x-content-provenance"] == "ai-generated"
    with Image.open(io.BytesIO(answer.content)) as image:
        image.load()
        assert (image.format, image.info["duration"]) == (form, 150)
    assert shades_of(answer) == pytest.approx([204, 153, 102, 51, 102, 153], abs=4)
    assert b"trainedAlgorithmicMedia" in answer.content


def test_an_animation_may_end_at_the_second_face(client):
    files = [("image", LIGHT), ("image", DARK)]
    asked = {"steps": "3", "there_and_back": "false"}
    answer = client.post("/morph", files=files, data=asked, headers={"Accept": "image/webp"})
    assert shades_of(answer) == pytest.approx([204, 128, 51], abs=4)


def test_an_animation_without_steps_is_worth_watching(client):
    files = [("image", LIGHT), ("image", DARK)]
    answer = client.post("/morph", files=files, headers={"Accept": "image/gif"})
    shades = shades_of(answer)
    assert len(shades) == 24 + 22
    assert (shades[0], shades[23]) == (pytest.approx(204, abs=4), pytest.approx(51, abs=4))
    assert shades[1:23] == pytest.approx(shades[:23:-1], abs=2)
    one = client.post("/morph", files=files, data={"lam": "1"}, headers={"Accept": "image/gif"})
    refusal(one, 406, "not-acceptable")


@pytest.mark.parametrize(("size", "side"), [(64, 64), (100, 100), (256, 128), (1024, 128)])
def test_images_can_be_smaller_than_the_generators(serve, size, side):
    predictor = FakePredictor()
    predictor.img_resolution = 128
    files = [("image", LIGHT), ("image", DARK)]
    with serve(predictor) as client:
        one = client.post("/morph", files=files, data={"size": size} | PNG_JSON)
        shown = one.json()["image"]
        assert (shown["width"], shown["height"]) == (side, side)
        with Image.open(io.BytesIO(base64.b64decode(shown["data"]))) as image:
            assert image.size == (side, side)
        for accept in ("image/jpeg", "image/gif"):
            answer = client.post(f"/morph?size={size}", files=files, headers={"Accept": accept})
            with Image.open(io.BytesIO(answer.content)) as image:
                assert image.size == (side, side)


@pytest.mark.parametrize("size", [0, 63, 1025, "big"])
def test_an_image_of_no_sensible_size_is_refused(client, size):
    answer = client.post("/generate", json={"seed": 1, "size": size})
    assert "size must be" in refusal(answer, 422, "invalid-request")


def test_a_single_image_can_be_webp_but_frames_cannot_be_jpeg(client):
    files = [("image", LIGHT), ("image", DARK)]
    still = client.post("/morph", files=files, headers={"Accept": "image/webp"})
    assert Image.open(io.BytesIO(still.content)).format == "WEBP"
    answer = client.post(
        "/morph", files=files, data={"steps": "3"}, headers={"Accept": "image/jpeg"}
    )
    refusal(answer, 406, "not-acceptable")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lam": "1.5"}, "lam"),
        ({"lam": "nan"}, "lam"),
        ({"steps": "1"}, "steps"),
        ({"steps": "61"}, "steps"),
        ({"steps": "3", "lam": "1"}, "got both"),
        ({"frame_ms": "0"}, "frame_ms"),
    ],
)
def test_morph_options_out_of_range(client, fields, message):
    answer = client.post("/morph", files=[("image", LIGHT), ("image", DARK)], data=fields)
    assert message in refusal(answer, 422, "invalid-request")


def test_invalid_sources_are_named(client):
    body = {"sources": [{"latent_id": "a", "image": "b"}, {}]}
    pointers = {row["pointer"] for row in client.post("/morph", json=body).json()["errors"]}
    assert pointers == {"#/sources/0", "#/sources/1"}


def test_the_first_refusal_of_two_photos_is_the_answer(client):
    files = [("image", LIGHT), ("image", photos.plain((0, 0, 0), form="PNG"))]
    refusal(client.post("/morph", files=files), 422, "no-face")


def test_an_unknown_latent_id_is_refused(client):
    body = {"sources": [{"latent_id": "A" * 22}, {"latent_id": "B" * 22}]}
    assert "unknown" in refusal(client.post("/morph", json=body), 404, "unknown-latent")


def test_colorize_takes_the_fine_rows_from_the_colour_photo(client):
    files = {"gray": DARK, "color": LIGHT}
    answer = client.post("/colorize", files=files, data=PNG_JSON)
    assert shown(answer) == pytest.approx((51, 51, 204), abs=1)  # rows 0, 7 and 8
    ws = numbers(answer.json()["code"])
    assert np.abs(ws[:8] - 0.2).max() < 0.01
    assert np.abs(ws[8:] - 0.8).max() < 0.01
    again = client.post("/generate", json={"latent_id": answer.json()["latent_id"]} | PNG_JSON)
    assert shown(again) == shown(answer)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"first_row": "0"}, (204, 204, 204)),
        ({"first_row": "7"}, (51, 204, 204)),
        ({"first_row": "9"}, (51, 51, 51)),
        ({"strength": "0"}, (51, 51, 51)),
        ({"strength": "0.5"}, (51, 51, 128)),
    ],
)
def test_colorize_options(client, fields, expected):
    answer = client.post("/colorize", files={"gray": DARK, "color": LIGHT}, data=fields | PNG_JSON)
    assert shown(answer) == pytest.approx(expected, abs=1)


def luminance(color):
    return Image.new("RGB", (1, 1), color).convert("YCbCr").getpixel((0, 0))[0]


def test_keep_luminance_uses_the_photos_brightness_and_reports_it(client):
    fields = {"keep_luminance": "true"}
    answer = client.post(
        "/colorize",
        files={"gray": DARK, "color": LIGHT},
        data=fields,
        headers={"Accept": "image/png"},
    )
    assert luminance(pixel(answer.content)) == pytest.approx(51, abs=2)
    assert pixel(answer.content)[2] > 55  # bluish, as rows from 8 on are in the stand-in
    assert b"compositeWithTrainedAlgorithmicMedia" in answer.content


def test_keep_luminance_of_a_code_takes_that_of_its_rendering(client):
    gray = latent(client, DARK)
    answer = client.post(
        "/colorize",
        files={"gray": (None, gray), "color": LIGHT},
        data={"keep_luminance": "true"},
        headers={"Accept": "image/png"},
    )
    assert luminance(pixel(answer.content)) == pytest.approx(51, abs=2)
    assert b"/trainedAlgorithmicMedia" in answer.content


def test_colorize_needs_both(client):
    assert "color must be given once" in refusal(
        client.post("/colorize", files={"gray": DARK}), 422, "invalid-request"
    )
    body = {"gray": {"latent_id": "x"}}
    assert client.post("/colorize", json=body).json()["errors"][0]["pointer"] == "#/color"


def test_json_colorize(client):
    body = {"gray": {"code": code(0.2).tolist()}, "color": {"code": code(0.8).tolist()}} | PNG_JSON
    assert shown(client.post("/colorize", json=body)) == pytest.approx((51, 51, 204), abs=1)


def test_the_same_seed_is_the_same_face(client):
    first, second = (client.post("/generate", json={"seed": 7}) for _ in range(2))
    other = client.post("/generate", json={"seed": 8})
    assert first.json()["code"] == second.json()["code"]
    assert first.json()["code"] != other.json()["code"]
    assert first.json()["image"]["media_type"] == "image/jpeg"
    smaller = client.post("/generate?seed=7&psi=0.35")
    ratio = numbers(smaller.json()["code"]) / numbers(first.json()["code"])
    assert ratio == pytest.approx(0.5, abs=1e-5)


def test_a_code_is_rendered_in_every_request_format(client):
    ws = code(0.2)
    calls = [
        {"json": {"code": write_code(ws, GENERATOR)}},
        {"json": {"code": ws.tolist()}},
        {"files": {"code": ("c.npy", write_npy(ws))}},
        {"data": {"code": json.dumps(ws.tolist())}},
        {"content": write_npy(ws), "headers": {"Content-Type": NPY}},
        {
            "content": write_safetensors(Latent(ws), GENERATOR),
            "headers": {"Content-Type": SAFETENSORS},
        },
    ]
    for call in calls:
        answer = client.post("/generate?format=png", **call)
        assert shown(answer) == (51, 51, 51)


def test_a_form_can_carry_the_seed(client):
    answer = client.post("/generate", data={"seed": "7"}, headers={"Accept": "image/webp"})
    assert answer.headers["content-type"] == "image/webp"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"seed": 1, "latent_id": "x"},
        {"seed": -1},
        {"seed": 2**32},
        {"seed": 1, "psi": 2},
        {"psi": 0.5, "latent_id": "x"},
        {"code": "x"},
        {"code": {"data": "AAAA", "pickle": True}},
    ],
)
def test_generate_needs_exactly_one_source(client, body):
    refusal(client.post("/generate", json=body), 422, "invalid-request")


def test_floods_of_numbers_are_refused(client):
    flood = json.dumps({"code": [[0]] * 300_000})
    assert len(flood) > 1_000_000
    headers = {"Content-Type": "application/json"}
    refusal(client.post("/generate", content=flood, headers=headers), 413, "too-large")
    answer = client.post("/generate", json={"code": [[0.0]] * 100})
    assert "code must have at most 64 items, got 100" in refusal(answer, 422, "invalid-request")
    answer = client.post("/generate", json={"code": {"data": 3}})
    assert answer.json()["errors"][0]["pointer"] == "#/code/data"


def test_generate_takes_no_photos(client):
    answer = client.post("/generate", files={"code": LIGHT})
    assert "/embed takes photos" in refusal(answer, 422, "invalid-request")


@pytest.mark.parametrize(
    ("ws", "message"),
    [
        (np.zeros((17, 512), np.float32), "shape [18, 512]"),
        (np.full((18, 512), np.nan, np.float32), "finite"),
        (np.full((18, 512), 101, np.float32), "100"),
    ],
)
def test_bad_codes_are_refused(client, ws, message):
    npy = write_npy(torch.from_numpy(ws))
    raw = client.post("/generate", content=npy, headers={"Content-Type": NPY})
    assert message in refusal(raw, 422, "invalid-code")
    if np.isfinite(ws).all():
        assert message in refusal(
            client.post("/generate", json={"code": ws.tolist()}), 422, "invalid-code"
        )


def test_another_generators_code_is_a_conflict(client):
    other = GeneratorId("other", "0" * 64, (18, 512))
    body = {"code": write_code(code(0.2), other)}
    assert "other" in refusal(client.post("/generate", json=body), 409, "model-mismatch")
    raw = client.post(
        "/generate",
        content=write_safetensors(Latent(code(0.2)), other),
        headers={"Content-Type": SAFETENSORS},
    )
    refusal(raw, 409, "model-mismatch")
