"""The real service with the real default weights, run and spoken to as a user would."""

import base64
import hashlib
import io
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageSequence

from service.settings import Settings
from tests.e2e.running import ASTRONAUT, jpeg, patience

FACE_BOX = (180, 80, 270, 170)  # the astronaut's, as every detector has it, within 25 pixels


def code_of(answer):
    return np.frombuffer(base64.b64decode(answer["code"]["data"]), "<f4").reshape(18, 512)


def pixels_of(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def small(pixels):
    return np.asarray(Image.fromarray(pixels.astype(np.uint8)).resize((64, 64))).astype(int)


def test_a_photo_becomes_a_code_and_a_reconstruction(embedded):
    assert np.abs(np.array(embedded["face"]["box"]) - FACE_BOX).max() < 25
    assert embedded["face"]["count"] == 1
    code = code_of(embedded)
    assert np.isfinite(code).all()
    assert 0.1 < code.std() < 3
    image = pixels_of(base64.b64decode(embedded["image"]["data"]))
    assert image.shape == (1024, 1024, 3)
    quality = embedded["quality"]
    assert quality["psnr"] > 11  # the mean face's on photos is 11.2
    assert 0 < quality["lpips"] < 0.5
    assert quality["lpips_net"] == "st-lpips-alex"
    assert {"decode", "detect", "align", "encode", "synthesize", "output"} <= set(
        embedded["timings_ms"]
    )


def test_the_likeness_shares_the_photos_colours(client, embedded):
    """The reconstruction beats the mean face on this photo; how good it is, evaluation measures."""
    corners = np.array(embedded["face"]["quad"])
    photo = Image.fromarray(skimage.data.astronaut())
    crop = photo.transform(
        (256, 256), Image.Transform.QUAD, tuple(corners.ravel()), Image.Resampling.BILINEAR
    )
    mean = client.post("/generate?seed=0&psi=0", headers={"Accept": "image/png"})
    target = small(np.asarray(crop))
    likeness = small(pixels_of(base64.b64decode(embedded["image"]["data"])))
    error = ((likeness - target) ** 2).mean()
    assert error < 0.95 * ((small(pixels_of(mean.content)) - target) ** 2).mean()


def test_the_reconstruction_itself_carries_the_mark(client):
    answer = client.post("/embed", files={"image": ASTRONAUT}, headers={"Accept": "image/jpeg"})
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == ("JPEG", (1024, 1024))
        assert b"digitalsourcetype/trainedAlgorithmicMedia" in image.info["xmp"]
        assert not image.getexif()


def test_a_latent_id_and_every_code_file_render_the_same_face(client, embedded):
    headers = {"Accept": "image/png"}
    body = {"latent_id": embedded["latent_id"]}
    expected = pixels_of(client.post("/generate", json=body, headers=headers).content)
    by_id = client.post("/generate", json={"latent_id": embedded["latent_id"]}, headers=headers)
    assert np.abs(pixels_of(by_id.content) - expected).max() == 0
    first = pixels_of(base64.b64decode(embedded["image"]["data"]))
    assert np.abs(first.astype(int) - expected).mean() < 1
    bare = client.post("/generate", json=body | {"detail": False}, headers=headers)
    assert np.abs(pixels_of(bare.content).astype(int) - expected).mean() > 1
    # A .npy holds the code alone, a safetensors file its detail as well.
    for media, same in (
        ("application/vnd.safetensors", expected),
        ("application/x-npy", pixels_of(bare.content)),
    ):
        file = client.post("/generate", json=body, headers={"Accept": media}).content
        back = client.post("/generate", files={"code": file}, headers=headers)
        assert np.abs(pixels_of(back.content).astype(int) - same).max() == 0


def test_a_morph_goes_from_the_first_to_the_second(client, embedded):
    other = client.post("/generate?seed=3&psi=0.7").json()
    sources = [{"latent_id": embedded["latent_id"]}, {"latent_id": other["latent_id"]}]
    frames = client.post("/morph", json={"sources": sources, "steps": 3}).json()["frames"]
    assert np.array_equal(code_of(frames[0]), code_of(embedded))
    assert np.array_equal(code_of(frames[2]), code_of(other))
    assert np.allclose(code_of(frames[1]), (code_of(embedded) + code_of(other)) / 2, atol=1e-5)
    answer = client.post(
        "/morph", json={"sources": sources, "steps": 3}, headers={"Accept": "image/webp"}
    )
    with Image.open(io.BytesIO(answer.content)) as image:
        shown = [np.asarray(f.convert("RGB")).astype(int) for f in ImageSequence.Iterator(image)]
    assert len(shown) == 4  # the fourth is the second again, on the way back
    assert np.abs(small(shown[3]) - small(shown[1])).mean() < 3
    first = pixels_of(base64.b64decode(embedded["image"]["data"]))
    assert np.abs(small(shown[0]) - small(first)).mean() < 3


def test_two_photos_can_be_sent_at_once(client, embedded):
    grey = jpeg(np.asarray(Image.fromarray(skimage.data.astronaut()).convert("L")))
    answer = client.post(
        "/colorize",
        files={"gray": grey, "color": (None, embedded["latent_id"])},
        data={"keep_luminance": "true"},
        headers={"Accept": "image/jpeg"},
    )
    assert answer.status_code == 200, answer.text
    assert pixels_of(answer.content).std((0, 1)).min() > 10
    halves = client.post("/morph?lam=0.5", files=[("image", ASTRONAUT), ("image", grey)])
    assert halves.status_code == 200, halves.text


def test_a_batch_answers_what_its_items_answer_singly(client, embedded):
    def embed(_):
        return client.post("/embed", files={"image": ASTRONAUT}).json()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(embed, range(4)))
    for answer in answers:
        distance = np.abs(code_of(answer) - code_of(embedded)).mean()
        assert distance < 0.05 * code_of(embedded).std()


def test_version_and_metrics_name_the_weights(service, client, embedded):
    version = client.get("/version").json()
    assert version["ready"]
    assert embedded["code"]["fingerprint"] == version["fingerprint"]
    network = Settings().network_path
    assert version["weights"][network.name] == hashlib.sha256(network.read_bytes()).hexdigest()
    text = httpx.get(service.metrics_url, timeout=60).text
    for name, digest in version["weights"].items():
        assert re.search(rf'wplus_model_info{{.*model="{re.escape(name)}",sha256="{digest}"', text)
    ok = re.search(r'wplus_inference_requests_total{op="embed",outcome="ok"} (\S+)', text)
    assert float(ok[1]) >= 1
    assert "wplus_engine_up 1.0" in text


def test_a_photo_without_a_face_is_refused(client):
    answer = client.post("/embed", files={"image": jpeg(skimage.data.coffee())})
    assert (answer.status_code, answer.json()["code"]) == (422, "no-face")


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_that_is_too_large_gets_a_readable_answer(client, chunked):
    body = b"\xff\xd8\xff" + b"\0" * 25_000_000
    content = (body[i : i + 100_000] for i in range(0, len(body), 100_000)) if chunked else body
    answer = client.post("/embed", content=content, headers={"Content-Type": "image/jpeg"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_the_page_is_served(client):
    assert "<title>wplus" in client.get("/").text


def test_a_misspelt_variable_ends_the_start():
    environment = os.environ | {"WPLUS_PROT": "8000"}
    ended = subprocess.run(
        [sys.executable, "-m", "service"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=patience(60),
    )
    assert ended.returncode == 1
    assert "WPLUS_PROT (did you mean WPLUS_PORT?)" in ended.stderr
    assert "Traceback" not in ended.stderr
