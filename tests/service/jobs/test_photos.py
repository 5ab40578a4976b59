"""Results of jobs as whole photos, on a real Valkey and a real worker of the tiny generator."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from model_core.alignment.sightings import DetectedFace
from model_core.output.provenance import COMPOSITE
from model_core.photos import reader
from service.redis_keys import job_key
from tests.model_core.output.test_encoding import SOURCE, mark_of
from tests.service import photos
from tests.service.fakes import FakeAligner
from tests.service.jobs.test_routes import finished, refusal, working
from tests.service.routes.test_whole_photo import (
    BOXES,
    SIZE,
    TwoFaces,
    outside_is_the_photos,
    scene,
)

WHOLE = {"output": "photo"}
PNG = {"Accept": "image/png"}


@pytest.fixture
def client(serve, valkey):
    """An application on fakes that finds two faces and keeps two photos."""
    with serve(redis_url=valkey.url, aligner=TwoFaces, job_photos=2) as ready:
        yield ready


def refine(client, **fields):
    answer = client.post("/refine", files={"image": scene()}, data={"steps": "2"} | fields)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def refine_jpeg(client, **fields):
    data = {"steps": "2", "keep_photo": "true"} | fields
    answer = client.post("/refine", files={"image": scene("JPEG", quality=95)}, data=data)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


class SizeMatters(TwoFaces):
    """Finds the two faces in the other order where the photo was decoded at half its size."""

    def find(self, photo):
        scale = photo.shape[1] / SIZE[0]
        faces = [
            DetectedFace(tuple(side * scale for side in face.box), face.landmarks, face.score)
            for face in super().find(photo)
        ]
        return faces if scale == 1 else faces[::-1]


class Forgetful(SizeMatters):
    """Does not find the small face again in the photo at its own size."""

    def find(self, photo):
        faces = super().find(photo)
        return faces[:1] if photo.shape[1] == SIZE[0] else faces


@pytest.fixture
def decoded_at_half_size(monkeypatch):
    """Decode even small JPEGs at half their size where a face alone is wanted."""
    monkeypatch.setattr(reader, "SHRINK_ABOVE_PX", 100_000)


@pytest.mark.usefixtures("decoded_at_half_size")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_result_goes_into_its_own_face_where_ranks_differ(serve, valkey, rank):
    with serve(redis_url=valkey.url, aligner=SizeMatters) as client:
        job_id = refine_jpeg(client, face=str(rank))
        with working(valkey):
            finished(client, job_id)
        (pasted,) = client.get(f"/jobs/{job_id}/result", params=WHOLE).json()["pasted"]
    left, top, right, bottom = BOXES[1 - rank]
    assert pasted["index"] == rank
    assert left - 1 <= pasted["box"][0] < pasted["box"][2] <= right + 1
    assert top - 1 <= pasted["box"][1] < pasted["box"][3] <= bottom + 1


@pytest.mark.usefixtures("decoded_at_half_size")
def test_a_result_goes_into_no_other_face(serve, valkey):
    with serve(redis_url=valkey.url, aligner=Forgetful) as client:
        job_id = refine_jpeg(client)
        with working(valkey):
            finished(client, job_id)
        answer = client.get(f"/jobs/{job_id}/result", params=WHOLE)
        assert "not found again" in refusal(answer, 422, "no-face")


@pytest.mark.parametrize("face", [0, 1])
def test_a_result_goes_back_into_the_photo_that_was_kept(client, valkey, face):
    job_id = refine(client, keep_photo="true", face=str(face))
    with working(valkey):
        finished(client, job_id)
    answer = client.get(f"/jobs/{job_id}/result", params=WHOLE, headers=PNG)
    assert outside_is_the_photos(answer, [face])
    assert mark_of(answer.content)["DigitalSourceType"] == SOURCE + COMPOSITE
    body = client.get(f"/jobs/{job_id}/result", params=WHOLE).json()
    (pasted,) = body["pasted"]
    assert (pasted["index"], pasted["blend"], pasted["code"]) == (face, "render", body["code"])
    left, top, right, bottom = BOXES[face]
    assert left - 1 <= pasted["box"][0] < pasted["box"][2] <= right + 1
    assert top - 1 <= pasted["box"][1] < pasted["box"][3] <= bottom + 1
    assert body["image"]["width"] == 640
    assert (body["job"]["id"], len(body["curve"])) == (job_id, 3)


def test_a_photo_that_was_not_kept_is_requested_and_the_advice_works(serve, valkey, tmp_path):
    directions = tmp_path / "directions"
    directions.mkdir()
    np.save(directions / "smile.npy", np.ones(512))
    with serve(redis_url=valkey.url, aligner=TwoFaces, directions=directions) as client:
        job_id = refine(client)
        with working(valkey):
            finished(client, job_id)
        answer = client.get(f"/jobs/{job_id}/result", params=WHOLE)
        advice = refusal(answer, 409, "no-result")
        body = client.get(f"/jobs/{job_id}/result").json()
        asked = dict(re.findall(r"(\w+)=(\w+)", advice.partition("/edit")[2]))
        data = asked | {"latent_id": body["latent_id"]}
        edited = client.post("/edit", files={"photo": scene()}, data=data)
    assert "keep_photo=true" in advice
    assert "pasted" not in body
    assert edited.status_code == 200, edited.text
    (pasted,) = edited.json()["pasted"]
    assert (pasted["blend"], pasted["code"]) == ("render", body["code"])


def test_a_photo_is_kept_as_long_as_its_job_unless_the_job_is_deleted(client, valkey):
    ids = [refine(client, keep_photo="true") for _ in range(3)]
    connection = valkey.connect()
    with working(valkey):
        for job_id in ids:
            finished(client, job_id)
    assert [connection.exists(f"{job_key(job_id)}:photo") for job_id in ids] == [0, 1, 1]
    key = job_key(ids[2])
    assert connection.ttl(f"{key}:photo") == connection.ttl(key) > 0
    assert client.delete(f"/jobs/{ids[2]}").json()["state"] == "succeeded"
    answer = client.get(f"/jobs/{ids[2]}/result", params=WHOLE)
    assert "keep_photo=true" in refusal(answer, 409, "no-result")
    assert client.get(f"/jobs/{ids[2]}/result").status_code == 200


def test_invalid_result_options_are_refused(client, valkey):
    job_id = refine(client, keep_photo="true")
    with working(valkey):
        finished(client, job_id)
    path = f"/jobs/{job_id}/result"
    code = client.get(path, params=WHOLE, headers={"Accept": "application/x-npy"})
    assert "output must be face" in refusal(code, 422, "invalid-request")
    answer = client.get(path, params=WHOLE | {"blend": "transfer"})
    assert "blend must be auto or render" in refusal(answer, 422, "invalid-request")


def test_an_aligned_photo_is_kept_as_such(serve, valkey):
    square = photos.plain((102, 102, 102), (300, 300), "PNG")
    with serve(redis_url=valkey.url, aligner=FakeAligner) as client:
        answer = client.post(
            "/refine",
            files={"image": square},
            data={"steps": "2", "align": "none", "keep_photo": "1"},
        )
        job_id = answer.json()["id"]
        with working(valkey):
            finished(client, job_id)
        answer = client.get(f"/jobs/{job_id}/result", params=WHOLE, headers=PNG)
        pixels = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert pixels.shape == (300, 300, 3)
        assert (pixels[0] == 102).all()
