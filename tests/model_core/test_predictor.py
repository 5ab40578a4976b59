import json
import shutil

import numpy as np
import pytest
import torch

from model_core.encoders.embedding_network import EmbeddingNetwork, EmbeddingNetworkConfig
from model_core.errors import CheckpointError, InvalidInputError, ModelMismatchError
from model_core.metrics.pixels import identity_similarity
from model_core.networks.loading import RECOGNISERS, load_generator, load_judge, load_stlpips
from model_core.predictor import Predictor
from model_core.runtime.execution import Execution
from tests.model_core.judges import need_judge


@pytest.fixture(scope="module")
def codes(predictor):
    return torch.cat([predictor.sample(seed, 0.6) for seed in range(3)])


@pytest.fixture(scope="module")
def images(predictor, codes):
    return predictor.synthesize(codes)


@pytest.fixture(scope="module")
def faces(images):
    return images.reshape(3, 256, 4, 256, 4, 3).mean(axis=(2, 4)).round().astype(np.uint8)


def test_samples_are_those_of_their_seed(predictor, codes):
    assert codes.shape == (3, 18, 512)
    assert torch.equal(predictor.sample(1, 0.6), codes[1:2])
    assert not torch.equal(codes[0], codes[1])
    assert torch.equal(predictor.sample(0, 0.0), predictor.sample(1, 0.0))


def test_images_are_rgb_bytes_at_full_size(images):
    assert (images.dtype, images.shape) == (np.uint8, (3, 1024, 1024, 3))
    assert images.std() > 20


def test_embedding_reconstructs_generated_faces(predictor, faces):
    ws = predictor.embed(faces)
    assert (ws.shape, ws.dtype) == ((3, 18, 512), torch.float32)
    found = predictor.quality(faces, predictor.synthesize(ws))
    average = predictor.synthesize(predictor.sample(0, 0.0).repeat(3, 1, 1))
    known = predictor.quality(faces, average)
    assert np.mean([q.lpips for q in found]) < 0.8 * np.mean([q.lpips for q in known])
    assert np.mean([q.psnr for q in found]) > np.mean([q.psnr for q in known]) + 1.5


def test_openvino_embeds_unless_all_is_eager(cache, network_file, faces):
    eager, fast = (
        Predictor.load(cache, network_file, backend=backend).embed(faces[:1])
        for backend in ("eager", "openvino")
    )
    assert not torch.equal(eager, fast)
    assert (eager - fast).std() < 0.02 * eager.std()


def test_a_batch_is_its_items(predictor, faces):
    together = predictor.embed(faces)
    singly = torch.cat([predictor.embed(face[None]) for face in faces])
    assert (together - singly).abs().max() < 0.05 * together.std()


@pytest.mark.slow
def test_a_face_is_embedded_and_polished_in_one_call(cache, network_file, faces, monkeypatch):
    monkeypatch.setattr("model_core.inversion.polisher.MAX_STEPS", 3)
    head = network_file.with_name("image_head_128.safetensors")
    predictor = Predictor.load(cache, network_file, backend="eager", head=head)
    polished = predictor.polish(faces[:1], None, budget_s=600.0)
    assert polished.steps == 3
    found = [predictor.embed(faces[:1]), polished.ws]
    once, better = (predictor.quality(faces[:1], predictor.synthesize(ws))[0] for ws in found)
    assert better.lpips < once.lpips
    none = predictor.polish(faces[:1], None, budget_s=1e-9)
    assert none.steps == 0
    assert torch.equal(none.ws, found[0])


def test_merging_a_face_with_itself_is_embedding_it(predictor, faces):
    assert torch.equal(predictor.merge(faces, faces), predictor.embed(faces))
    swapped = predictor.merge(faces[[1, 2, 0]], faces)
    assert not torch.equal(swapped, predictor.embed(faces))


def test_a_network_without_an_identity_encoder_embeds_but_does_not_merge(cache, faces):
    torch.manual_seed(0)
    generator, fingerprint = load_generator(cache)
    recogniser = RECOGNISERS["dlib-resnet29"]({})
    sizes = EmbeddingNetworkConfig(attribute_px=64, identity_dim=256, disentangled=False)
    network = EmbeddingNetwork(sizes, recogniser, torch.zeros(512), torch.ones(512))
    network.eval().requires_grad_(False)
    predictor = Predictor(
        generator, network, load_stlpips(cache), fingerprint, {}, Execution(backend="eager")
    )
    assert predictor.embeds
    assert not predictor.merges
    assert predictor.embed(faces[:1]).shape == (1, 18, 512)
    with pytest.raises(InvalidInputError, match="must separate identity and attributes"):
        predictor.merge(faces[:1], faces[1:2])


def test_descriptors_give_the_similarity_of_the_quality_figures(predictor, faces):
    a, b = predictor.describe(faces[:2])
    (quality,) = predictor.quality(faces[:1], faces[1:2])
    assert float(a @ b) == pytest.approx(quality.identity_similarity, abs=1e-3)
    assert float(a @ a) == pytest.approx(1, abs=1e-5)
    assert predictor.describe(faces[:1])[0] == pytest.approx(a, abs=1e-3)


def test_quality_of_the_face_itself_is_perfect(predictor, faces, images):
    quality = predictor.quality(faces[:1], images[:1])[0]
    assert quality.psnr > 45
    assert quality.ssim > 0.99
    assert quality.lpips < 0.01
    assert quality.lpips_net == "st-lpips-alex"
    if predictor.identity_judge:
        assert quality.identity_similarity > 0.999
        assert quality.same_person


def test_the_networks_figures_are_nearly_those_of_float32(predictor, cache, faces, images):
    def to_float(bytes_):
        return torch.from_numpy(bytes_).permute(0, 3, 1, 2).float() / 127.5 - 1

    others = images[[1, 2, 0]]
    small = torch.nn.functional.adaptive_avg_pool2d(to_float(others), 256)
    found = predictor.quality(faces, others)
    distances = load_stlpips(cache)(to_float(faces), small)
    assert [q.lpips for q in found] == pytest.approx(distances.tolist(), rel=0.01)
    need_judge(cache)
    describe = load_judge(cache).descriptor
    same = identity_similarity(describe(to_float(faces)), describe(small))
    assert [q.identity_similarity for q in found] == pytest.approx(same.tolist(), abs=0.001)
    assert not any(q.same_person for q in found)


def test_digests_name_every_weight_file(predictor):
    files = {"embedding.safetensors", "mobilestylegan-ffhq-1024.safetensors"}
    assert files <= predictor.weight_digests.keys()
    assert predictor.weight_digests["mobilestylegan-ffhq-1024.safetensors"] == predictor.fingerprint


def test_the_judge_is_named_where_its_weights_are(predictor, cache):
    need_judge(cache)
    assert predictor.identity_judge == "faceres"
    assert "faceres.safetensors" in predictor.weight_digests


def test_a_network_of_another_generator_is_refused(cache, network_file, tmp_path):
    other = tmp_path / network_file.name
    shutil.copy(network_file, other)
    sidecar = json.loads(network_file.with_suffix(".json").read_text())
    other.with_suffix(".json").write_text(json.dumps(sidecar | {"generator": "0" * 64}))
    with pytest.raises(ModelMismatchError, match="000000000000"):
        Predictor.load(cache, other, backend="eager")


def test_a_missing_network_error_says_what_to_do(cache, tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        Predictor.load(cache, tmp_path / "none.safetensors", backend="eager")
