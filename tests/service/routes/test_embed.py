"""POST /embed on stand-ins: every way in, every way out, every refusal."""

import base64
import io
import json
import math
import struct

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from tests.service import photos
from tests.service.fakes import FakePredictor, FakeQuality, in_background, wait_until

JPEG = photos.plain((102, 102, 102))
NPY, SAFETENSORS = "application/x-npy", "application/vnd.safetensors"


def send(client, data=JPEG, headers=None, **fields):
    return client.post("/embed", files={"image": ("a.jpg", data)}, data=fields, headers=headers)


def code_of(answer):
    code = answer.json()["code"]
    return np.frombuffer(base64.b64decode(code["data"]), "<f4").reshape(code["shape"])


def refusal(answer, status, code):
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    return answer.json()["detail"]


@pytest.mark.parametrize(
    ("accept", "face", "for_all"),
    [("application/json", 0, True), ("image/jpeg", 0, False), ("image/jpeg", 1, True)],
)
def test_only_what_needs_all_faces_looks_for_them(client, accept, face, for_all):
    send(client, headers={"Accept": accept}, face=face)
    assert client.runtime.loaded.aligner.was_for_all == for_all


def test_a_form_is_answered_by_json(client):
    answer = send(client)
    body = answer.json()
    assert answer.status_code == 200
    assert len(body["latent_id"]) == 22
    assert np.abs(code_of(answer) - 0.4).max() < 0.01
    assert body["code"]["fingerprint"] == "f" * 64
    assert body["face"]["box"] == [0, 0, 320, 320]
    assert np.shape(body["face"]["landmarks"]) == (68, 2)
    assert np.shape(body["face"]["quad"]) == (4, 2)
    assert (body["face"]["index"], body["face"]["count"]) == (0, 1)
    assert body["quality"] == {
        "psnr": 20.0,
        "ssim": 0.5,
        "lpips": 0.4,
        "lpips_net": "st-lpips-alex",
        "identity_similarity": 0.9,
        "same_person": True,
        "refine_recommended": True,
    }
    stages = {
        "count",
        "decode",
        "detect",
        "align",
        "detail",
        "queue",
        "encode",
        "synthesize",
        "quality",
        "output",
    }
    assert set(body["timings_ms"]) == stages | {"total"}
    assert "image" not in body


def test_without_a_recogniser_identity_is_null_and_version_reports_it(serve):
    predictor = FakePredictor()
    predictor.identity_judge = None
    predictor.found = FakeQuality(psnr=math.inf, identity_similarity=None, same_person=None)
    with serve(predictor) as client:
        quality = send(client).json()["quality"]
        assert quality["identity_similarity"] is quality["same_person"] is quality["psnr"] is None
        assert quality["lpips"] == 0.4
        version = client.get("/version").json()
        assert version["identity_judge"] is None
        schema = client.get("/openapi.json").json()["components"]["schemas"]["QualityObject"]
    assert schema["required"] == [*quality]
    assert {"type": "null"} in schema["properties"]["same_person"]["anyOf"]


@pytest.mark.parametrize("media", ["image/jpeg", "image/png", "application/octet-stream"])
def test_a_raw_body_is_a_photo(client, media):
    answer = client.post("/embed", content=JPEG, headers={"Content-Type": media})
    assert np.abs(code_of(answer) - 0.4).max() < 0.01


def test_json_carries_base64(client):
    body = {"image": base64.b64encode(JPEG).decode(), "return": "both", "encoding": "numbers"}
    answer = client.post("/embed", json=body)
    assert np.shape(answer.json()["code"]["data"]) == (18, 512)
    assert answer.json()["image"]["media_type"] == "image/jpeg"


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_accept_selects_the_reconstruction(client, form):
    answer = send(client, headers={"Accept": f"image/{form}"})
    assert answer.headers["content-type"] == f"image/{form}"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == (form.upper(), (64, 64))
        assert b"trainedAlgorithmicMedia" in (image.info["xmp"])
    assert len(answer.headers["x-latent-id"]) == 22
    assert answer.headers["x-generator-fingerprint"] == "f" * 64
    assert answer.headers["x-content-provenance"] == "ai-generated"
    assert "encode;dur=" in answer.headers["server-timing"]


def test_accept_selects_the_code_alone(client):
    npy = send(client, headers={"Accept": NPY})
    code = np.load(io.BytesIO(npy.content))
    assert (code.shape, code.dtype) == ((18, 512), np.float32)
    stored = safetensors.numpy.load(send(client, headers={"Accept": SAFETENSORS}).content)
    assert (stored["ws"] == code).all()
    assert "synthesize" not in npy.headers["server-timing"]


@pytest.mark.parametrize(
    ("wanted", "has"), [("code", (True, False)), ("image", (False, True)), ("both", (True, True))]
)
def test_return_selects_the_contents_of_json(client, wanted, has):
    body = send(client, **{"return": wanted, "format": "png", "encoding": "numbers"}).json()
    assert ("code" in body, "image" in body) == has
    if has[1]:
        image = Image.open(io.BytesIO(base64.b64decode(body["image"]["data"])))
        assert (image.format, image.width) == ("PNG", body["image"]["width"])


def test_options_may_be_in_the_query(client):
    headers = {"Content-Type": "image/jpeg"}
    answer = client.post("/embed?return=image&format=webp", content=JPEG, headers=headers)
    assert answer.json()["image"]["media_type"] == "image/webp"


def test_image_quality_counts(client, monkeypatch):
    rough = np.asarray(photos.noise((64, 64)))
    monkeypatch.setattr(FakePredictor, "synthesize", lambda _self, ws: np.stack([rough] * len(ws)))

    def size(quality):
        headers = {"Accept": "image/webp"}
        return len(send(client, headers=headers, image_quality=str(quality)).content)

    assert size(10) < size(100)


def test_align_none_takes_a_square_photo_as_it_is(client):
    black = photos.plain((0, 0, 0), (300, 300))
    answer = send(client, black, align="none")
    assert answer.status_code == 200
    assert "face" not in answer.json()
    assert "detect" not in answer.json()["timings_ms"]
    detail = refusal(
        send(client, photos.plain(size=(300, 200)), align="none"), 422, "invalid-input"
    )
    assert "square" in detail


def test_another_face_can_be_chosen(client):
    assert send(client, face="0").status_code == 200
    assert "must be 0, as 1 face was found, got 1" in refusal(
        send(client, face="1"), 422, "invalid-input"
    )


def test_metadata_of_the_photo_never_leaves(client):
    exif = Image.Exif()
    exif[0x010E] = "my secret garden"
    photo = photos.plain(exif=exif)
    for accept in ("application/json", "image/jpeg", "image/png", "image/webp"):
        answer = send(client, photo, headers={"Accept": accept}, **{"return": "both"})
        assert b"secret garden" not in answer.content


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"this is text", 415, "unsupported-image"),
        (photos.plain()[:500], 422, "broken-image"),
        (photos.png_header(50_000, 50_000), 413, "too-many-pixels"),
        (photos.heic(), 415, "unsupported-image"),
        (photos.plain((0, 0, 0), form="PNG"), 422, "no-face"),
        (photos.plain(size=(20, 20)), 422, "image-too-small"),
        (b"", 400, "empty-body"),
    ],
    ids=["text", "cut", "bomb", "heic", "noface", "tiny", "empty"],
)
def test_bad_photos_are_refused_alike_in_every_request_format(client, data, status, code):
    refusal(send(client, data), status, code)
    raw = client.post("/embed", content=data, headers={"Content-Type": "image/jpeg"})
    refusal(raw, status, code)
    if data:
        as_json = client.post("/embed", json={"image": base64.b64encode(data).decode()})
        refusal(as_json, status, code)


def test_refused_photos_are_counted_by_reason(client):
    send(client, b"this is text")
    send(client, photos.plain((0, 0, 0), form="PNG"))
    text = client.get("/metrics").text
    assert 'wplus_image_rejected_total{reason="unsupported-image"} 1.0' in text
    assert 'wplus_image_rejected_total{reason="no-face"} 1.0' in text
    assert 'wplus_inference_requests_total{op="embed",outcome="no_face"} 1.0' in text
    assert 'wplus_inference_requests_total{op="embed",outcome="invalid"} 1.0' in text


def test_too_large_photos_are_refused_in_every_request_format(serve):
    with serve(max_upload_bytes=2000) as client:
        data = photos.encode(photos.noise(), "PNG")
        assert 2000 < len(data) < 1_000_000
        refusal(send(client, data), 413, "too-large")
        refusal(send(client, b"\0" * 1_100_000), 413, "too-large")
        chunks = (b"\0" * 100_000 for _ in range(20))
        raw = client.post("/embed", content=chunks, headers={"Content-Type": "image/jpeg"})
        refusal(raw, 413, "too-large")


@pytest.mark.parametrize(
    ("media", "data", "status", "code"),
    [
        ("text/plain", b"x", 415, "unsupported-media-type"),
        ("application/xml", b"<x/>", 415, "unsupported-media-type"),
        ("", b"x", 415, "unsupported-media-type"),
        ("application/x-www-form-urlencoded", JPEG, 415, "unsupported-media-type"),
        ("", b"", 400, "empty-body"),
        ("application/json", b"", 400, "empty-body"),
        ("image/jpeg", b"", 400, "empty-body"),
        ("application/json", b"{", 422, "invalid-request"),
        ("application/json", b"[]", 422, "invalid-request"),
        ("application/json", b"[" * 100_000, 422, "invalid-request"),
        ("application/json", b"{}", 422, "invalid-request"),
        ("application/json", b'{"image": "!"}', 422, "invalid-request"),
        ("application/json", b'{"image": 3}', 422, "invalid-request"),
        ("multipart/form-data", b"x", 400, "bad-request"),
        ("multipart/form-data; boundary=x", b"nonsense", 400, "bad-request"),
        ("multipart/form-data; boundary=x", b"", 400, "empty-body"),
    ],
)
def test_bodies_of_another_type_than_claimed_are_refused(client, media, data, status, code):
    refusal(client.post("/embed", content=data, headers={"Content-Type": media}), status, code)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"alingn": "none"}, "#/alingn"),
        ({"align": "maybe"}, "#/align"),
        ({"face": "-1"}, "#/face"),
        ({"face": "x"}, "#/face"),
        ({"image_quality": "101"}, "#/image_quality"),
        ({"return": "all"}, "#/return"),
    ],
)
def test_options_out_of_range_are_named(client, fields, pointer):
    answer = send(client, **fields)
    refusal(answer, 422, "invalid-request")
    assert [row["pointer"] for row in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("key", "pointer"),
    [("a/b~c", "#/a~1b~0c"), ("x" * 100_000, "#/" + "x" * 64)],
    ids=["escaped", "long"],
)
def test_pointers_are_escaped_and_short(client, key, pointer):
    answer = client.post("/embed", json={"image": "", key: 1})
    refusal(answer, 422, "invalid-request")
    assert [row["pointer"] for row in answer.json()["errors"]] == [pointer]
    file = client.post("/embed", files={"x" * 1000: JPEG})
    assert [row["pointer"] for row in file.json()["errors"]] == ["#/" + "x" * 64]


def test_very_many_unknown_members_are_one_error(client):
    many = {f"key{number}": 0 for number in range(50_000)}
    for answer in (
        client.post("/embed", json=many),
        client.post("/generate", json={"code": many}),
        client.post("/morph", json={"sources": [{"code": many}, {}]}),
    ):
        assert "at most 24 members, got 50000" in refusal(answer, 422, "invalid-request")
        assert len(answer.content) < 1000


def test_very_many_wrong_numbers_are_one_error(client):
    rows = [["x"] * 8192] * 20
    for body in ({"code": rows}, {"code": {"data": rows}}):
        answer = client.post("/generate", json=body)
        refusal(answer, 422, "invalid-request")
        assert len(answer.json()["errors"]) == 1
    body = {"code": {"data": "AAAA", "shape": ["x"] * 100_000}}
    answer = client.post("/generate", json=body)
    refusal(answer, 422, "invalid-request")
    assert [row["pointer"] for row in answer.json()["errors"]] == ["#/code/shape/0"]


def test_only_the_first_errors_are_listed(client):
    answer = client.post("/embed", json={f"key{number}": 0 for number in range(24)})
    refusal(answer, 422, "invalid-request")
    assert len(answer.json()["errors"]) == 20


def test_the_photo_must_be_there_once(client):
    none = client.post("/embed", files={"other": ("a.jpg", JPEG)})
    assert "must be one of image, got a file" in refusal(none, 422, "invalid-request")
    none = client.post("/embed", data={"align": "none"})
    assert "given once, got 0" in refusal(none, 422, "invalid-request")
    crowd = client.post("/embed", files=[("image", ("a", JPEG))] * 65)
    assert "Maximum number of files is 64" in refusal(crowd, 400, "bad-request")
    text = client.post("/embed", data={"image": "photo.jpg"})
    assert "-F image=@photo.jpg" in refusal(text, 422, "invalid-request")


def test_a_code_is_not_a_photo(client):
    npy = send(client, headers={"Accept": NPY}).content
    assert "/generate" in refusal(send(client, npy), 422, "invalid-request")


def test_unacceptable_media_types_are_refused_before_the_body_is_read(client):
    refusal(send(client, headers={"Accept": "text/html"}), 406, "not-acceptable")


def test_a_multipart_bomb_of_fields_is_refused(client):
    refusal(send(client, **{f"f{i}": "x" for i in range(100)}), 400, "bad-request")


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "AVIF", "TIFF"])
def test_of_several_pictures_the_first_is_embedded(client, form):
    assert send(client, photos.animation(form)).status_code == 200


def test_a_very_large_photo_reports_the_face_in_its_own_pixels(client):
    answer = send(client, photos.plain(size=(5000, 4000)))
    assert answer.json()["face"]["box"] == [0, 0, 5000, 4000]


def test_a_truncated_header_is_refused(client):
    for length in (4, 12, 20):
        refusal(send(client, b"\x89PNG\r\n\x1a\n" + b"\0" * length), 422, "broken-image")
    riff = b"RIFF" + struct.pack("<I", 4) + b"WEBP"
    refusal(send(client, riff), 422, "broken-image")


def test_json_answers_are_plain_json(client):
    answer = json.loads(send(client).content, parse_constant=pytest.fail)
    assert answer["quality"]


def test_a_budget_polishes_the_code(client):
    answer = send(client, budget_ms="300")
    assert 0 < answer.json()["polish_steps"] <= 30
    assert 0 < answer.json()["timings_ms"]["polish"] < 400
    assert np.abs(code_of(answer) - 0.5).max() < 0.01


def test_many_budgets_at_once_keep_nobody_past_the_deadline(serve):
    with serve(deadline_s=5.0) as client:
        polishing = [in_background(lambda: send(client, budget_ms="1500")) for _ in range(4)]
        wait_until(lambda: client.runtime.gate.inflight_of("embed") == 4)
        plain = send(client)
        answers = [plain]
        for thread, done in polishing:
            thread.join()
            answers += done
    assert [answer.status_code for answer in answers] == [200] * 5
    assert all(answer.json()["polish_steps"] > 0 for answer in answers[1:])
    times = [answer.json()["timings_ms"] for answer in answers]
    for row in times:
        parts = sum(value for stage, value in row.items() if stage != "total")
        assert parts <= row["total"] + 0.1


def test_without_a_budget_nothing_is_polished(client):
    answer = send(client)
    assert answer.json()["polish_steps"] == 0
    assert np.abs(code_of(answer) - 0.4).max() < 0.01


@pytest.mark.parametrize("budget", ["-1", "10001", "soon"])
def test_a_budget_out_of_range_is_refused(client, budget):
    assert send(client, budget_ms=budget).status_code == 422


@pytest.mark.parametrize("face", ["1", "2"])
def test_an_aligned_photo_has_one_face(client, face):
    answer = send(client, align="none", face=face)
    assert "align is none" in refusal(answer, 422, "invalid-request")
