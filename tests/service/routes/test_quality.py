"""POST /quality, and /embed without it, on stand-ins."""

import base64

import pytest

from tests.service import photos
from tests.service.fakes import FakePredictor, FakeQuality

JPEG = photos.plain((102, 102, 102))


def embed(client, **options):
    answer = client.post("/embed", files={"image": ("a.jpg", JPEG)}, data=options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def measure(client, latent_id, **options):
    return client.post(
        "/quality",
        files={"image": ("a.jpg", JPEG)},
        data={"latent_id": latent_id} | options,
    )


def refusal(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()["detail"]


def test_an_image_does_not_wait_for_its_figures(serve):
    class Measured(FakePredictor):
        measured = 0

        def quality(self, faces, images):
            self.measured += 1
            return super().quality(faces, images)

    predictor = Measured()
    with serve(predictor) as client:
        before = predictor.measured  # warming up
        picture = embed(client, quality="false", **{"return": "image"})
        assert "quality" not in picture
        assert "quality" not in picture["timings_ms"]
        assert picture["face"]["count"] == 1
        assert predictor.measured == before
        answer = measure(client, picture["latent_id"])
        assert predictor.measured == before + 1
    assert answer.json()["quality"]["lpips"] == 0.4
    assert answer.json()["quality"]["same_person"] is True
    assert {"quality", "synthesize", "total"} <= set(answer.json()["timings_ms"])


def test_a_code_alone_is_not_even_rendered(client):
    assert "synthesize" not in embed(client, quality="false")["timings_ms"]
    assert "synthesize" in embed(client, quality="false", **{"return": "both"})["timings_ms"]


def test_figures_are_those_of_embed(client):
    whole = embed(client)
    answer = measure(client, whole["latent_id"])
    assert answer.json()["quality"] == whole["quality"]
    body = {"image": base64.b64encode(JPEG).decode(), "code": whole["code"]}
    assert client.post("/quality", json=body).json()["quality"] == whole["quality"]


def test_unknown_figures_are_null(serve):
    predictor = FakePredictor()
    predictor.found = FakeQuality(identity_similarity=None, same_person=None)
    with serve(predictor) as client:
        quality = measure(client, embed(client)["latent_id"]).json()["quality"]
    assert quality["identity_similarity"] is quality["same_person"] is None


def test_incomplete_requests_are_refused(client):
    latent_id = embed(client)["latent_id"]
    assert "code or latent_id" in refusal(
        client.post("/quality", files={"image": ("a.jpg", JPEG)}), 422, "invalid-request"
    )
    assert "image must be given once" in refusal(
        client.post("/quality", data={"latent_id": latent_id}), 422, "invalid-request"
    )
    refusal(measure(client, "x" * 22), 404, "unknown-latent")
    answer = client.post(
        "/quality",
        files={"image": ("a.jpg", JPEG)},
        data={"latent_id": latent_id},
        headers={"Accept": "image/jpeg"},
    )
    refusal(answer, 406, "not-acceptable")


@pytest.mark.parametrize("detail", ["true", "false"])
def test_detail_is_used_only_if_requested(serve, detail):
    rendered = []

    class Watched(FakePredictor):
        def render(self, latents):
            rendered.extend(latents)
            return super().render(latents)

    with serve(Watched()) as client:
        latent_id = embed(client)["latent_id"]
        rendered.clear()
        assert measure(client, latent_id, detail=detail).status_code == 200
    assert [latent.detail is not None for latent in rendered] == [detail == "true"]
