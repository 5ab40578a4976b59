import copy
import json

import pytest
import torch

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.errors import CheckpointError, ModelMismatchError
from model_core.networks.loading import (
    load_detail_encoder,
    load_embedding_network,
    load_generator,
    load_tuned_generator,
    new_embedding_network,
)
from model_core.networks.saving import (
    save_detail_encoder,
    save_embedding_network,
    save_tuned_generator,
)
from model_core.weights.cache import verified_path
from tests.model_core.tiny import FINGERPRINT
from tests.model_core.training.detail.tiny import make_encoder, make_generator


@pytest.fixture(scope="module")
def generator(cache):
    return load_generator(cache)


@pytest.fixture
def saved(cache, generator, tmp_path):
    torch.manual_seed(0)
    network = new_embedding_network(cache, generator[0], attribute_px=128).eval()
    path = tmp_path / "network.safetensors"
    save_embedding_network(path, network, generator[1], {"note": "for a test"})
    return network, path


def load(path, cache, generator) -> EmbeddingNetwork:
    return load_embedding_network(path, cache, *generator)


@torch.no_grad()
def test_encoders_with_one_decoder_understand_each_others_details(tmp_path):
    generator = make_generator()
    digests = []
    for changed in (None, "out", "decoder"):
        encoder = make_encoder(generator)
        torch.nn.init.ones_(encoder.decoder.weight)
        if changed:
            encoder.get_submodule(changed).weight.add_(0.5)
        path = tmp_path / f"{changed}.safetensors"
        save_detail_encoder(path, encoder, FINGERPRINT, {})
        digests.append(load_detail_encoder(path, generator, FINGERPRINT)[1])
    assert digests[0] == digests[1] != digests[2]


@torch.no_grad()
def test_a_saved_network_embeds_as_before(saved, cache, generator):
    network, path = saved
    img = torch.rand(1, 3, 256, 256) * 2 - 1
    again = load(path, cache, generator)
    assert again.config == network.config
    assert (again(img) - network(img)).abs().max() < 0.02  # float16 on disk
    assert json.loads(path.with_suffix(".json").read_text())["note"] == "for a test"


def test_a_changed_byte_is_found(saved, cache, generator):
    _, path = saved
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load(path, cache, generator)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "image"}, "must be of the family embedding-network, got image"),
        ({"config": {"wings": 2}}, "must have a valid config"),
        ({"config": {"attribute_px": 128, "num_ws": 9, "w_dim": 256}}, "must fit its network"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_an_error(saved, cache, generator, change, message):
    _, path = saved
    beside = path.with_suffix(".json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        load(path, cache, generator)


def test_a_pack_file_that_is_not_the_pinned_one_is_refused(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "dlib-resnet29.safetensors").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="must have SHA-256"):
        verified_path(tmp_path, "dlib-resnet29")
    with pytest.raises(CheckpointError, match="pull"):
        verified_path(tmp_path, "st-lpips-alex")


@torch.no_grad()
def test_a_tuned_generator_round_trips(generator, tmp_path):
    network, fingerprint = generator
    tuned = copy.deepcopy(network)
    tuned.to_img.bias.add_(0.25)
    path = tmp_path / "tuned.safetensors"
    save_tuned_generator(path, tuned, fingerprint)
    again = load_tuned_generator(path, network, fingerprint)
    assert torch.equal(again.to_img.bias, network.to_img.bias + 0.25)
    assert not any(weight.requires_grad for weight in again.parameters())
    with pytest.raises(ModelMismatchError, match=r"tuned\.safetensors belongs to"):
        load_tuned_generator(path, network, "0" * 64)


def test_a_single_resnet_round_trips(cache, generator, tmp_path):
    network = new_embedding_network(cache, generator[0], attribute_px=128, disentangled=False)
    path = tmp_path / "single.safetensors"
    save_embedding_network(path, network, generator[1], {})
    assert not load(path, cache, generator).config.disentangled
