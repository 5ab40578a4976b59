"""The real service with what a user brings: converted by the command, served by its name."""

import base64
import io
import subprocess
import sys
from contextlib import ExitStack

import httpx2 as httpx
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from model_core.encoders.style_encoder import StyleEncoderConfig
from model_core.generators.sampling import sample_w, spread_along
from model_core.latents.editing import move
from model_core.networks.loading import load_embedder, load_generator, new_embedding_network
from model_core.networks.saving import save_embedding_network
from model_core.runtime.execution import Execution
from model_core.runtime.synthesizer import Synthesizer
from model_core.weights.cache import converted_path, encoder_path
from model_core.weights.files import file_digest
from model_core.weights.shipped import EMBEDDING_NETWORK
from tests.e2e.running import Service, jpeg, patience, start_s
from tests.model_core.checkpoints.foreign.seeded import psp_content, rosinality_content

FACE = skimage.data.astronaut()[0:256, 96:352]
ALIGNED = "?align=none"
NPY = {"Accept": "application/x-npy"}


@pytest.fixture(scope="module")
def own(cache, tmp_path_factory):
    """A cache with the default weights and a generator of 32 px that was converted to `mine`."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "weights").symlink_to(cache / "weights")
    convert(folder, rosinality_content(32), "mine")
    return folder


@pytest.fixture(scope="module")
def network(own):
    """An untrained embedding network for it."""
    generator, fingerprint = load_generator(own, "mine")
    torch.manual_seed(0)
    path = own / "network.safetensors"
    save_embedding_network(path, new_embedding_network(own, generator, 128), fingerprint, {})
    return path


def convert(folder, content, name):
    path = folder / f"{name}.pt"
    torch.save(content, path)
    command = [sys.executable, "-m", "model_core.checkpoints", "--cache", folder, "convert", path]
    subprocess.run([*command, "-o", name], check=True)
    path.unlink()


@pytest.fixture
def start():
    """Start services by their settings, and stop them in the end."""
    stack = ExitStack()

    def ready(folder, **settings):
        service = stack.enter_context(Service(folder, backend="eager", **settings))
        service.wait_for(lambda: service.url)
        service.client = stack.enter_context(
            httpx.Client(base_url=service.url, timeout=patience(60))
        )
        service.wait_for(lambda: "service.app: ready" in service.log)
        return service

    with stack:
        yield ready


def code_of(answer):
    assert answer.status_code == 200, answer.text
    return torch.from_numpy(np.load(io.BytesIO(answer.content)))


def pixels_of(answer):
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image)


def refused(answer, code, reason):
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert reason in answer.json()["detail"]


def test_a_generator_with_its_network_does_all_that_the_default_does(start, own, network):
    client = start(own, generator="mine", network=network, jobs=False).client
    generator, fingerprint = load_generator(own, "mine")
    version = client.get("/version").json()
    assert (version["generator"], version["fingerprint"]) == ("mine", fingerprint)
    assert "wplus_engine_up 1.0" in client.get("/metrics").text
    assert (version["code_shape"], version["image_px"]) == ([8, 512], 32)
    assert version["weights"]["mine.safetensors"] == file_digest(converted_path(own, "mine"))
    assert version["weights"][network.name] == file_digest(network)

    drawn = pixels_of(client.post("/generate?seed=3&psi=0.7", headers={"Accept": "image/png"}))
    w = sample_w(generator, [3], 0.7)
    render = Synthesizer(generator, Execution(backend="eager"))
    expected = render(w[:, None].repeat(1, 8, 1)).numpy()[0]
    assert np.abs(drawn.astype(int) - expected).max() <= 1

    embedded = client.post(f"/embed{ALIGNED}&return=both", files={"image": jpeg(FACE)}).json()
    data = base64.b64decode(embedded["code"]["data"])
    code = torch.from_numpy(np.frombuffer(data, "<f4").reshape(8, 512).copy())
    face = torch.from_numpy(FACE.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        want = load_embedder(network, own, generator, fingerprint)(face)[0]
    assert (code - want).abs().mean() < 0.2 * (want - generator.w_mean).abs().mean()
    assert embedded["code"]["fingerprint"] == fingerprint
    assert (embedded["image"]["width"], embedded["quality"]["lpips_net"]) == (32, "st-lpips-alex")

    sources = [{"latent_id": embedded["latent_id"]}, {"code": w.expand(8, -1).tolist()}]
    half = code_of(client.post("/morph", json={"sources": sources, "lam": 0.5}, headers=NPY))
    torch.testing.assert_close(half, (code + w) / 2)
    photos = {"identity": jpeg(FACE), "attribute": jpeg(FACE[:, ::-1])}
    assert code_of(client.post(f"/merge{ALIGNED}", files=photos, headers=NPY)).shape == (8, 512)


def test_a_generator_without_a_network_accepts_codes_and_refuses_photos(start, own, tmp_path):
    generator, _ = load_generator(own, "mine")
    direction = np.random.default_rng(0).standard_normal(512)
    np.save(tmp_path / "age.npy", direction)
    service = start(own, generator="mine", directions=tmp_path)
    client = service.client
    assert "no embedding network for mine" in service.log
    photo = {"image": jpeg(FACE)}
    for call in ("/embed?", "/refine?", "/edit?direction=age&"):
        answer = client.post(f"{call}align=none", files=photo)
        refused(answer, "no-embedder", "embedding a photo needs a network for mine")

    ws = [sample_w(generator, [seed], 0.7).expand(8, -1) for seed in (1, 2)]
    ids = [client.post(f"/generate?seed={seed}&psi=0.7").json()["latent_id"] for seed in (1, 2)]
    sources = [{"latent_id": latent_id} for latent_id in ids]
    half = code_of(client.post("/morph", json={"sources": sources, "lam": 0.5}, headers=NPY))
    torch.testing.assert_close(half, (ws[0] + ws[1]) / 2)
    body = {"latent_id": ids[0], "direction": "age", "strength": 1.0}
    edited = code_of(client.post("/edit", json=body, headers=NPY))
    along = torch.from_numpy(direction).float()[None]
    step = (along * spread_along(generator, along) / along.norm()).expand(8, -1)
    torch.testing.assert_close(edited, move(ws[0][None], step, 1.0)[0], atol=1e-4, rtol=1e-3)

    job = client.post(f"/refine{ALIGNED}&start=mean&steps=3", files=photo)
    assert job.status_code == 202, job.text
    url = job.headers["location"]
    service.wait_for(lambda: client.get(url).json()["state"] not in ("queued", "running"))
    assert client.get(url).json()["state"] == "succeeded", client.get(url).text
    found = code_of(client.get(f"{url}/result", headers=NPY))
    assert 0 < (found - generator.w_mean).abs().max() < 1


@pytest.mark.slow
def test_a_psp_encoder_embeds_for_its_generator(start, cache, tmp_path):
    (tmp_path / "weights").symlink_to(cache / "weights")
    convert(tmp_path, psp_content(StyleEncoderConfig(4), "GradualStyleEncoder"), "psp")
    client = start(tmp_path, generator="psp", max_batch=1, jobs=False).client
    encoder = load_embedder(
        encoder_path(tmp_path, "psp"), tmp_path, *load_generator(tmp_path, "psp")
    )
    with torch.no_grad():
        want = encoder(torch.from_numpy(FACE.copy()).permute(2, 0, 1)[None] / 127.5 - 1)[0]
    png = io.BytesIO()
    Image.fromarray(FACE).save(png, "PNG")
    code = code_of(client.post(f"/embed{ALIGNED}", files={"image": png.getvalue()}, headers=NPY))
    torch.testing.assert_close(code, want, atol=1e-3, rtol=1e-3)
    assert "psp-encoder.safetensors" in client.get("/version").json()["weights"]
    photos = {"identity": png.getvalue(), "attribute": png.getvalue()}
    answer = client.post(f"/merge{ALIGNED}", files=photos)
    refused(answer, "invalid-input", "must be an embedding network to merge faces")


@pytest.mark.parametrize("mine", [True, False])
def test_a_network_of_another_generator_is_refused_with_the_reason(own, network, mine):
    settings = {"generator": "mine", "network": EMBEDDING_NETWORK}
    with Service(own, **(settings if mine else {"network": network}), jobs=False) as service:
        assert service.ended(start_s()) == 1
        assert "belongs to the generator" in service.log
        assert load_generator(own, "mine")[1][:12] in service.log
        assert "Traceback" not in service.log
