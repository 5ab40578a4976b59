"""Whole photos as answers, on stand-ins: what changes, where, and how it is described."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from model_core.alignment.sightings import DetectedFace
from model_core.output.provenance import COMPOSITE
from tests.model_core.output.test_encoding import SOURCE, mark_of
from tests.service import photos
from tests.service.fakes import FakeAligner, FakePredictor

PNG = {"Accept": "image/png"}
SIZE = (640, 480)
BOXES = {0: (60.0, 60.0, 260.0, 260.0), 1: (400.0, 120.0, 520.0, 240.0)}
LIGHT = {"direction": "light", "strength": "6"}


class TwoFaces(FakeAligner):
    """Finds a large face on the left and a small one on the right of photos that are not black."""

    def find(self, photo):
        if not photo.any():
            return []
        return [DetectedFace(box, np.zeros((68, 2)), 1.5) for box in BOXES.values()]

    def align(self, photo, face, size=256):
        left, top, right, bottom = map(int, face.box)
        aligned = super().align(photo[top:bottom, left:right], face, size)
        quad = np.array([(left, top), (left, bottom), (right, bottom), (right, top)]) - 0.5
        return type(aligned)(aligned.image, face, quad)


@pytest.fixture
def client(serve, tmp_path):
    """An application that knows a direction that lightens, and finds two faces."""
    np.save(tmp_path / "light.npy", np.ones(512))
    with serve(aligner=TwoFaces, directions=tmp_path) as ready:
        yield ready


def scene(form="PNG", **options):
    """Texture, with the faces in two shades of grey."""
    pixels = np.asarray(photos.noise(SIZE)).copy()
    for (left, top, right, bottom), shade in zip(BOXES.values(), (100, 60), strict=True):
        pixels[int(top) : int(bottom), int(left) : int(right)] = shade
    return photos.encode(Image.fromarray(pixels), form, **options)


def pixels_of(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def image_of(answer):
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"] != "application/json":
        return pixels_of(answer.content)
    return pixels_of(base64.b64decode(answer.json()["image"]["data"]))


def change_in(answer, rank, photo=None):
    """How much brighter the middle of a face is than in the photo; whether the rest is the same."""
    before, after = pixels_of(photo or scene()), image_of(answer)
    assert after.shape == before.shape
    left, top, right, bottom = map(int, BOXES[rank])
    x, y = (left + right) // 2, (top + bottom) // 2
    region = (slice(y - 10, y + 10), slice(x - 10, x + 10))
    return (after[region] - before[region]).mean()


def outside_is_the_photos(answer, ranks=(0, 1)):
    before, after = pixels_of(scene()), image_of(answer)
    outside = np.ones(before.shape[:2], bool)
    for rank in ranks:
        left, top, right, bottom = map(int, BOXES[rank])
        outside[top:bottom, left:right] = False
    return np.array_equal(before[outside], after[outside])


def ask(client, path="/edit", headers=PNG, files=None, **fields):
    files = files or {"image": scene()}
    data = {"output": "photo"} | fields
    return client.post(path, files=files, data=data, headers=headers)


def test_an_edit_changes_its_face_in_the_photo(client):
    answer = ask(client, **LIGHT)
    assert change_in(answer, 0) == pytest.approx(255 * 6 * 0.5 / 512**0.5, abs=2)
    assert change_in(answer, 1) == 0
    assert outside_is_the_photos(answer, [0])
    assert mark_of(answer.content)["DigitalSourceType"] == SOURCE + COMPOSITE
    assert answer.headers["X-Content-Provenance"] == "ai-generated"
    assert "paste;dur=" in answer.headers["Server-Timing"]


@pytest.mark.parametrize(
    ("face", "changed"), [("0", [0]), ("1", [1]), ("all", [0, 1]), ("0,1", [0, 1]), ("1,0", [0, 1])]
)
def test_the_chosen_faces_are_changed(client, face, changed):
    answer = ask(client, face=face, headers={}, format="png", **LIGHT)
    assert [rank for rank in (0, 1) if change_in(answer, rank) > 20] == changed
    assert outside_is_the_photos(answer, changed)
    rows = answer.json()["pasted"]
    assert [row["index"] for row in rows] == changed
    for row in rows:
        left, top, right, bottom = BOXES[row["index"]]
        assert left <= row["box"][0] < row["box"][2] <= right
        assert top <= row["box"][1] < row["box"][3] <= bottom
        assert row["blend"] == "transfer"
    assert answer.json()["latent_id"] == rows[0]["latent_id"]
    assert answer.json()["code"] == rows[0]["code"]


def test_the_answer_has_the_photos_size(client):
    answer = ask(client, headers={}, **LIGHT)
    image = answer.json()["image"]
    assert (image["width"], image["height"]) == SIZE
    assert image["media_type"] == "image/jpeg"


@pytest.mark.parametrize("media", ["image/jpeg", "image/png", "image/webp"])
def test_it_has_the_requested_format(client, media):
    answer = ask(client, headers={"Accept": media}, **LIGHT)
    assert answer.headers["content-type"] == media
    assert image_of(answer).shape == (480, 640, 3)


def test_a_rotated_photo_comes_back_upright(client):
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.open(io.BytesIO(scene()))
    lying = photos.encode(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    answer = ask(client, files={"image": lying}, **LIGHT)
    assert change_in(answer, 0) > 20
    assert outside_is_the_photos(answer)


def test_a_large_jpeg_keeps_its_size_and_one_that_is_too_large_is_refused(client, serve, tmp_path):
    large = photos.plain((100, 100, 100), (4800, 3600))
    sent = {"files": {"image": large}, "headers": {"Accept": "image/jpeg"}}
    assert image_of(ask(client, **sent, **LIGHT)).shape == (3600, 4800, 3)
    with serve(max_whole_pixels=1_000_000) as small:
        answer = ask(small, "/embed", **sent)
        assert answer.status_code == 413
        detail = answer.json()["detail"]
        assert "at most 1000000 pixels" in detail
        assert "output=face takes larger photos" in detail
        assert small.post("/embed", files={"image": large}).status_code == 200


def test_a_code_is_pasted_into_the_given_photo(client):
    latent_id = client.post("/embed", files={"image": scene()}).json()["latent_id"]
    encoded = base64.b64encode(scene()).decode()
    body = {"latent_id": latent_id, "output": "photo", "photo": encoded} | LIGHT
    for answer in (
        client.post("/edit", json=body, headers=PNG),
        ask(client, files={"photo": scene()}, latent_id=latent_id, **LIGHT),
    ):
        assert change_in(answer, 0) == pytest.approx(255 * 6 * 0.5 / 512**0.5, abs=3)
        assert change_in(answer, 1) == 0
    sent = {"files": {"photo": scene()}, "latent_id": latent_id} | LIGHT
    assert change_in(ask(client, blend="render", **sent), 0) > 20


@pytest.mark.parametrize("blend", ["transfer", "render"])
def test_both_blends_can_be_chosen(client, blend):
    answer = ask(client, blend=blend, headers={}, format="png", **LIGHT)
    assert change_in(answer, 0) == pytest.approx(255 * 6 * 0.5 / 512**0.5, abs=3)
    assert answer.json()["pasted"][0]["blend"] == blend


def test_colours_go_into_the_grey_photo(client):
    answer = ask(
        client,
        "/colorize",
        files={"gray": scene(), "color": photos.plain((200, 200, 200))},
        face="all",
        headers={},
        format="png",
    )
    assert [row["blend"] for row in answer.json()["pasted"]] == ["transfer", "transfer"]
    assert outside_is_the_photos(answer)
    assert change_in(answer, 0) > 20


def test_merged_faces_go_into_the_attributes_photo(client):
    files = {"identity": photos.plain((180, 180, 180)), "attribute": scene()}
    answer = ask(client, "/merge", files=files, headers={}, format="png")
    assert answer.json()["pasted"][0]["blend"] == "render"
    assert change_in(answer, 0) > 40
    assert outside_is_the_photos(answer, [0])


def test_reconstructions_go_into_the_photo_with_their_quality(client):
    answer = ask(client, "/embed", headers={}, face="all", format="png")
    body = answer.json()
    assert outside_is_the_photos(answer)
    assert [row["blend"] for row in body["pasted"]] == ["render", "render"]
    assert [row["index"] for row in body["faces"]] == [0, 1]
    assert body["face"]["index"] == 0
    assert body["quality"]["lpips"] == 0.4


def test_embed_lists_all_faces(client):
    body = client.post("/embed", files={"image": scene()}).json()
    assert body["faces"] == [
        {"index": rank, "box": list(box), "score": 1.5} for rank, box in BOXES.items()
    ]
    assert body["face"]["count"] == 2
    assert "pasted" not in body


def test_an_aligned_photo_is_a_whole_photo_too(client):
    square = photos.plain((100, 100, 100), (300, 300), "PNG")
    answer = ask(client, files={"image": square}, align="none", **LIGHT)
    after = image_of(answer)
    assert (after[140:160, 140:160] - 100).mean() > 30
    assert (after[0] == 100).all()


def test_budgets_of_many_faces_end_before_the_deadline(serve):
    class Crowd(FakeAligner):
        def find(self, photo):
            return super().find(photo) * 8

    small = {"image": photos.plain((100, 100, 100), (96, 96), "PNG")}
    with serve(aligner=Crowd, deadline_s=4.0) as client:
        asked = {"files": small, "headers": {}, "face": "all", "budget_ms": "4000"}
        answer = ask(client, "/embed", **asked)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["pasted"]) == 8
    assert answer.json()["polish_steps"] > 0
    assert 500 < answer.json()["timings_ms"]["polish"] <= 2200


def test_budgets_are_spent_on_each_face(client):
    answer = ask(client, "/embed", headers={}, face="all", budget_ms="100")
    assert answer.json()["polish_steps"] > 0


@pytest.mark.parametrize(
    ("path", "call", "words"),
    [
        ("/edit", {"face": "2", **LIGHT}, "face must be 0 to 1, as 2 faces were found, got 2"),
        ("/edit", {"face": "all", "output": "face", **LIGHT}, "unless output is photo"),
        ("/embed", {"blend": "transfer"}, "blend must be auto or render here"),
        ("/embed", {"size": "256"}, "size must be omitted when output is photo"),
        ("/embed", {"return": "code"}, "return must be image or both when output is photo"),
        (
            "/edit",
            {"headers": {"Accept": "application/x-npy"}, **LIGHT},
            "output must be face when Accept is application/x-npy",
        ),
        (
            "/edit",
            {"files": {"image": scene(), "photo": scene()}, **LIGHT},
            "photo must be omitted",
        ),
        (
            "/edit",
            {"files": {"photo": scene(), "code": b"[[0]]"}, "output": "face", **LIGHT},
            "photo must be omitted unless output is photo",
        ),
        ("/edit", {"files": {"code": b"[[0]]"}, **LIGHT}, "photo must be given once with a code"),
        (
            "/edit",
            {"files": {"code": b"[[0]]", "photo": scene()}, "face": "all", **LIGHT},
            "face must be one number with a code",
        ),
        ("/edit", {"files": {"photo": scene()}, **LIGHT}, "exactly one of image, code, latent_id"),
        (
            "/colorize",
            {"files": {"gray": b"[[0]]", "color": scene()}},
            "gray must be a photo with output=photo",
        ),
    ],
)
def test_invalid_values_are_refused(client, path, call, words):
    answer = ask(client, path, **call)
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["detail"]


def test_a_photo_without_faces_is_still_refused(client):
    answer = ask(client, files={"image": photos.plain((0, 0, 0))}, face="all", **LIGHT)
    assert answer.json()["code"] == "no-face"
    assert "use align=none" in answer.json()["detail"]


def test_all_faces_share_the_deadline(serve, tmp_path):
    np.save(tmp_path / "light.npy", np.ones(512))
    predictor = FakePredictor()
    with serve(predictor, aligner=TwoFaces, directions=tmp_path, deadline_s=0.6) as client:
        predictor.delay_s = 0.1  # four calls a face: neither face alone takes too long
        assert ask(client, face="all", **LIGHT).status_code == 504


def test_few_whole_photos_are_held_at_once(serve, tmp_path):
    np.save(tmp_path / "light.npy", np.ones(512))
    with serve(aligner=TwoFaces, directions=tmp_path, max_whole_photos=1) as client:
        limit = client.runtime.whole_photos
        with limit.enter(), limit.enter():
            answer = ask(client, **LIGHT)
            assert answer.status_code == 429
            assert "limit of 2 whole photos" in answer.json()["detail"]
        assert ask(client, **LIGHT).status_code == 200


def test_a_format_that_cannot_hold_a_panorama_is_refused_before_any_work(client):
    canvas = np.zeros((480, 17_000, 3), np.uint8)
    canvas[:, : SIZE[0]] = pixels_of(scene())
    panorama = photos.encode(Image.fromarray(canvas), "PNG")
    answer = ask(client, headers={"Accept": "image/webp"}, files={"image": panorama}, **LIGHT)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-many-pixels")
    assert "at most 16383 px long to be answered as webp, got 17000" in answer.json()["detail"]
    assert change_in(ask(client, files={"image": panorama}, **LIGHT), 0, panorama) > 0


def test_brightness_is_kept_by_transfer_alone(client):
    files = {"gray": scene(), "color": photos.plain((200, 40, 40), form="PNG")}
    kept = {"keep_luminance": "true", "face": "0"}
    refused = ask(client, "/colorize", files=files, blend="render", **kept)
    assert "blend must be auto or transfer with keep_luminance" in refused.json()["detail"]
    answer = ask(client, "/colorize", headers={}, files=files, **kept)
    assert answer.json()["pasted"][0]["blend"] == "transfer"
