"""Bringing a checkpoint: inspect, convert, load by name, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from model_core.checkpoints.__main__ import main
from model_core.checkpoints.same_w import compare_w
from model_core.errors import CheckpointError, InvalidInputError, ModelMismatchError
from model_core.networks.loading import load_embedder, load_generator, new_embedding_network
from model_core.networks.saving import save_embedding_network as save_network
from model_core.runtime.execution import Execution
from model_core.runtime.synthesizer import Synthesizer
from model_core.weights.cache import DEFAULT_GENERATOR, converted_path
from model_core.weights.files import file_digest

ORIGINALS = Path(__file__).parent / "foreign" / "originals"


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    for name in ("rosinality_training.pt", "genforce.pth"):
        assert main(["convert", str(ORIGINALS / name), "-o", Path(name).stem], cache) == 0
    return cache


def test_inspect_lists_present_and_missing_parts(tmp_path, capsys):
    assert main(["inspect", str(ORIGINALS / "rosinality_training.pt")], tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "family      stylegan2" in lines
    assert "resolution  32 px" in lines
    assert any(line.startswith("remark      the mean code is missing") for line in lines)


def test_an_unknown_layout_error_shows_its_names(tmp_path, capsys):
    torch.save({"chairs": torch.ones(2)}, tmp_path / "other.pt")
    assert main(["inspect", str(tmp_path / "other.pt")], tmp_path) == 1
    assert "must have a known layout" in (said := capsys.readouterr().err)
    assert "1 entries such as chairs" in said


def test_a_missing_layer_is_an_error(tmp_path, capsys):
    content = torch.load(ORIGINALS / "rosinality.pt", weights_only=True)
    del content["g_ema"]["convs.1.conv.weight"]
    torch.save(content, tmp_path / "cut.pt")
    assert main(["convert", str(tmp_path / "cut.pt"), "-o", "cut"], tmp_path) == 1
    assert "cut.pt: checkpoint must hold convs.1.conv.weight, got none" in capsys.readouterr().err


def test_a_layer_of_another_size_is_an_error(tmp_path, capsys):
    content = torch.load(ORIGINALS / "rosinality.pt", weights_only=True)
    content["g_ema"]["convs.1.conv.weight"] = torch.ones(1, 3, 8, 3, 3)
    torch.save(content, tmp_path / "odd.pt")
    assert main(["convert", str(tmp_path / "odd.pt"), "-o", "odd"], tmp_path) == 1
    assert "convs.1.conv.weight (here layers.2.weight) must be (8, 8, 3, 3), got (3, 8, 3, 3)" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["rosinality_training", "genforce"])
def test_converted_networks_are_loaded_by_name(brought, name):
    generator, fingerprint = load_generator(brought, name)
    path = converted_path(brought, name)
    assert fingerprint == file_digest(path)
    z = torch.randn(20_000, generator.w_dim, generator=torch.Generator().manual_seed(1))
    w = generator.mapping(z)
    assert (w.std(dim=0) / generator.w_std - 1).abs().max() < 0.1
    with Image.open(path.with_suffix(".jpg")) as sheet:
        assert sheet.size == (4 * generator.img_resolution, generator.img_resolution)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["source"]["layout"] in ("rosinality", "genforce")


def test_the_estimated_mean_is_that_of_mapped_codes(brought):
    generator, _ = load_generator(brought, "rosinality_training")
    z = torch.randn(20_000, generator.w_dim, generator=torch.Generator().manual_seed(1))
    distance = (generator.mapping(z).mean(dim=0) - generator.w_mean).abs()
    assert (distance < 6 * generator.w_std / 20_000**0.5).all()


def test_every_backend_renders_it(brought):
    for name in ("rosinality_training", "genforce"):
        generator, _ = load_generator(brought, name)
        ws = generator.w_mean.expand(1, generator.num_ws, -1)
        plain = Synthesizer(generator, Execution(backend="eager"))(ws).int()
        other = Synthesizer(generator, Execution(backend="openvino"))(ws).int()
        assert (plain - other).abs().float().mean() < 4


def test_a_changed_byte_is_found(brought, tmp_path):
    (tmp_path / "converted").mkdir()
    for suffix in (".safetensors", ".json"):
        source = converted_path(brought, "genforce").with_suffix(suffix)
        (tmp_path / "converted" / source.name).write_bytes(source.read_bytes())
    path = converted_path(tmp_path, "genforce")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_generator(tmp_path, "genforce")


@pytest.mark.parametrize("name", ["../escape", "", DEFAULT_GENERATOR, "a b"])
def test_names_are_plain_and_new(tmp_path, name):
    with pytest.raises(CheckpointError, match="name must be"):
        converted_path(tmp_path, name)


def test_an_unknown_name_lists_the_known_ones(brought):
    with pytest.raises(CheckpointError, match=r"'genforce', 'rosinality_training'.* got 'other'"):
        load_generator(brought, "other")


def test_a_network_for_another_generator_is_refused(cache, brought, tmp_path):
    generator, fingerprint = load_generator(cache)
    path = tmp_path / "network.safetensors"
    save_network(path, new_embedding_network(cache, generator, 128), fingerprint, {})
    other, others = load_generator(brought, "genforce")
    with pytest.raises(ModelMismatchError, match="belongs to the generator"):
        load_embedder(path, cache, other, others)


def test_codes_of_other_shapes_are_not_compared(brought):
    with pytest.raises(InvalidInputError, match=r"must be 8 x 16 .* got 12 x 16"):
        compare_w(brought, "rosinality_training", "genforce")


@pytest.mark.slow
def test_a_generator_shares_w_with_itself(cache):
    found = compare_w(cache, DEFAULT_GENERATOR, DEFAULT_GENERATOR)
    assert found.w_distance == 0
    assert min(found.similarities) > 0.999


STYLEGAN2 = "stylegan2-ffhq-config-f"


@pytest.mark.slow
def test_the_default_generator_has_the_w_of_stylegan2(cache):
    """Needs `checkpoints convert stylegan2-ffhq-config-f.pt -o stylegan2-ffhq-config-f` first."""
    if not converted_path(cache, STYLEGAN2).is_file():
        pytest.skip(f"{STYLEGAN2} was not converted into the cache")
    found = compare_w(cache, DEFAULT_GENERATOR, STYLEGAN2)
    assert found.w_distance < 1e-2
    assert min(found.similarities) > 0.8
