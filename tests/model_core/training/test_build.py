import dataclasses
import json
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image

from model_core.errors import CheckpointError, InvalidInputError, ModelMismatchError
from model_core.networks.loading import load_embedding_network
from model_core.networks.saving import save_embedding_network
from model_core.runtime.precision import BFLOAT16, FLOAT32
from model_core.training import build
from model_core.training.assembly import RunInputs
from model_core.training.build import EmbeddingAssembly
from model_core.training.config import TrainConfig
from model_core.training.distributed import Ranks
from model_core.weights.store import load_network, save_network

HEADS = Path(__file__).parents[3] / "weights"
SINGLE = TrainConfig(attribute_px=64, disentangled=False)


@pytest.fixture
def assemble(cache, tmp_path):
    """Put a run together from the default weights."""

    def make(config, run="run", precision=FLOAT32, **options):
        head_weights = HEADS / "image_head_128.safetensors"
        inputs = RunInputs(**{"cache": cache, "head_weights": head_weights} | options)
        device = torch.device("cpu")
        return EmbeddingAssembly(inputs, config, tmp_path / run, Ranks(), device, precision)

    return make


def test_a_single_resnet_is_exported_and_loaded_again(assemble, cache, tmp_path):
    assembly = assemble(SINGLE)
    network = assembly.network().eval()
    assert not hasattr(network, "merge")
    path = tmp_path / "single.safetensors"
    save_embedding_network(path, network, assembly.fingerprint, {})
    loaded = load_embedding_network(path, cache, assembly.generator, assembly.fingerprint)
    assert not loaded.config.disentangled
    img = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        assert torch.allclose(loaded(img), network(img), atol=0.05)
    start = assemble(SINGLE, start=path).network()
    features = torch.randn(1, 2048, 8, 8)
    assert torch.equal(start.regressor(features), loaded.regressor(features))


def test_a_tuned_identity_encoder_is_exported(assemble, cache, tmp_path):
    assembly = assemble(dataclasses.replace(SINGLE, disentangled=True, tune_identity=True))
    network = assembly.network()
    trained = next(p for p in network.identity.parameters() if p.requires_grad)
    with torch.no_grad():
        trained.add_(1)
    path = tmp_path / "tuned.safetensors"
    save_embedding_network(path, network, assembly.fingerprint, {}, with_identity=True)
    loaded = load_embedding_network(path, cache, assembly.generator, assembly.fingerprint)
    expected = network.identity.state_dict()
    for name, value in loaded.identity.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-2, rtol=1e-3), name


def test_a_start_of_the_other_kind_is_refused(assemble, network_file):
    with pytest.raises(InvalidInputError, match="network with disentangled False, got True"):
        assemble(SINGLE, start=network_file).network()


def test_the_shipped_network_is_a_start(assemble, network_file):
    config = dataclasses.replace(SINGLE, disentangled=True)
    assert assemble(config, start=network_file).network().config.disentangled


def test_other_weights_can_be_selected_by_name(assemble):
    with pytest.raises(CheckpointError, match="no-recogniser"):
        assemble(dataclasses.replace(SINGLE, identity="no-recogniser")).network()
    with pytest.raises(CheckpointError, match="no-generator"):
        assemble(SINGLE, "other", generator="no-generator")


def test_a_run_resumes_only_with_its_image_head(assemble, tmp_path):
    shipped = HEADS / "image_head_128.safetensors"
    tensors, about = load_network(shipped)
    other = tmp_path / "image_head_128.safetensors"
    save_network(other, {name: value + 1 for name, value in tensors.items()}, about)
    assembly = assemble(SINGLE)
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    assert stored["head"] == about["sha256"]
    assert stored["generator"] == assembly.fingerprint
    with pytest.raises(ModelMismatchError, match="head must be"):
        assemble(SINGLE, head_weights=other)
    assemble(SINGLE)
    assemble(dataclasses.replace(SINGLE, head=False), "true-output", head_weights=other)


def test_a_head_of_another_size_is_refused_before_the_folder_is_claimed(assemble, tmp_path):
    with pytest.raises(InvalidInputError, match=r"loss_px must be 128, .* got 256"):
        assemble(dataclasses.replace(SINGLE, loss_px=256))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("tuned", [False, True])
def test_a_tuned_generator_starts_with_its_own_weights(assemble, tmp_path, monkeypatch, tuned):
    """Frozen it is rendered in a faster form, whose weights are not for saving."""
    monkeypatch.setattr(  # else the full generator renders once a row
        build, "measure_row_weights", lambda generator, *_: torch.ones(generator.num_ws)
    )
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        Image.new("RGB", (256, 256), (60 * i, 90, 120)).save(folder / f"{i}.png")
    config = dataclasses.replace(
        SINGLE,
        supervision="photo",
        head=False,
        freeze_norms=True,
        tune_generator=tuned,
        mse_weight=1.0,
        generated_share=0.5,
        compile=False,
        sensitivity_weight=0.0,
        validation_pairs=1,
        validation_photos=1,
    )
    assembly = assemble(config, photos=[folder])
    render = assembly.training().objective.render
    weights = render.generator.float().state_dict()
    own = assembly.generator.state_dict()
    kept = all(torch.allclose(weights[name], part, atol=0.01) for name, part in own.items())
    assert kept is tuned


@pytest.fixture
def trunks(tmp_path):
    """torchvision's AlexNet and VGG-16, untrained."""
    for file, make in (
        ("alexnet-0", torchvision.models.alexnet),
        ("vgg16-0", torchvision.models.vgg16),
    ):
        state = make(weights=None).features.state_dict(prefix="features.")
        torch.save(state, tmp_path / f"{file}.pth")
    return tmp_path


@pytest.mark.parametrize("name", ["st-lpips-alex", "lpips-alex", "vgg-features", "none"])
def test_any_perceptual_distance_can_be_trained_with(assemble, trunks, name):
    config = dataclasses.replace(SINGLE, perceptual=name)
    perceptual = assemble(config, precision=BFLOAT16, trunks=trunks).perceptual
    assert perceptual.name == name
    types = {p.dtype for p in perceptual.parameters()}
    assert types <= {torch.bfloat16 if name == "st-lpips-alex" else torch.float32}
    img = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    img.requires_grad_(True)
    distance = perceptual(img, -img.detach())
    (gradient,) = torch.autograd.grad(distance.sum(), img)
    assert distance.dtype == torch.float32
    assert gradient.isfinite().all()
    assert gradient.any() == (name != "none")


def test_missing_trunks_are_reported_before_the_folder_is_claimed(assemble, tmp_path):
    with pytest.raises(CheckpointError, match=r"trunks must hold alexnet-.*--trunks DIR"):
        assemble(dataclasses.replace(SINGLE, perceptual="lpips-alex"))
    assert not (tmp_path / "run").exists()


def test_a_run_resumes_only_with_its_trunk(assemble, trunks):
    config = dataclasses.replace(SINGLE, perceptual="vgg-features")
    assemble(config)
    with pytest.raises(ModelMismatchError, match=r"must be st-vgg-features, .* got vgg-features;"):
        assemble(config, trunks=trunks)
