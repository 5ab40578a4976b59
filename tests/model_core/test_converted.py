"""The predictor with a converted generator, and what embeds faces for it."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
import torch

from model_core.encoders.style_encoder import StyleEncoder, StyleEncoderConfig
from model_core.errors import (
    CheckpointError,
    InvalidInputError,
    ModelMismatchError,
    NoEmbedderError,
)
from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from model_core.networks.loading import load_generator
from model_core.predictor import Operation, Predictor
from model_core.weights.cache import DEFAULT_JUDGE, converted_path
from model_core.weights.store import save_network

FACES = np.random.default_rng(0).integers(0, 255, (2, 256, 256, 3), np.uint8)


@pytest.fixture(scope="module")
def converted(cache, tmp_path_factory):
    """A cache with the default weights and a narrow generator of 16 px under the name `narrow`."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "weights").symlink_to(cache / "weights")
    path = converted_path(folder, "narrow")
    path.parent.mkdir()
    torch.manual_seed(0)
    config = StyleGAN2Config(widths=(8, 8), mapping_layers=2)
    state = StyleGAN2(config).state_dict()
    save_network(path, state, {"family": "stylegan2", "config": dataclasses.asdict(config)})
    return folder


def load(converted, path):
    return Predictor.load(converted, path, backend="eager", generator_name="narrow")


@pytest.mark.slow
def test_a_converted_encoder_embeds_and_its_generator_renders(converted, tmp_path):
    _, fingerprint = load_generator(converted, "narrow")
    torch.manual_seed(0)
    encoder = StyleEncoder(StyleEncoderConfig(num_ws=4, pyramid=False)).eval()
    facts = {"family": "style-encoder", "config": dataclasses.asdict(encoder.config)}
    path = tmp_path / "narrow-encoder.safetensors"
    save_network(path, encoder.state_dict(), facts | {"generator": fingerprint})
    predictor = load(converted, path)
    assert (predictor.generator_name, predictor.fingerprint) == ("narrow", fingerprint)
    codes = predictor.embed(FACES)
    with torch.no_grad():
        faces = torch.from_numpy(FACES).permute(0, 3, 1, 2) / 127.5 - 1
        torch.testing.assert_close(codes, encoder(faces), atol=1e-4, rtol=1e-3)
    images = predictor.synthesize(codes)
    assert images.shape == (2, 8, 8, 3)
    with pytest.raises(InvalidInputError, match="network must be an embedding network to merge"):
        predictor.merge(FACES, FACES[::-1].copy())


def test_without_a_network_codes_are_rendered_and_photos_refused(converted):
    predictor = load(converted, None)
    assert not predictor.embeds
    assert predictor.synthesize(predictor.sample(0, 0.7)).shape == (1, 8, 8, 3)
    with pytest.raises(NoEmbedderError, match="needs a network for narrow, got none"):
        predictor.embed(FACES)
    with pytest.raises(NoEmbedderError, match="needs a network for narrow, got none"):
        predictor.merge(FACES, FACES)


def test_a_network_of_the_default_generator_is_refused(converted, network_file):
    with pytest.raises(ModelMismatchError, match=r"not to [0-9a-f]{12}, the one in use"):
        load(converted, network_file)


def test_without_the_optional_pack_there_are_no_figures_of_identity(converted, tmp_path):
    (tmp_path / "converted").symlink_to(converted / "converted")
    (tmp_path / "weights").mkdir()
    for file in (converted / "weights").iterdir():
        if not file.name.startswith(DEFAULT_JUDGE):
            (tmp_path / "weights" / file.name).symlink_to(file)
    predictor = load(tmp_path, None)
    assert predictor.identity_judge is None
    assert "faceres.safetensors" not in predictor.weight_digests
    images = np.zeros((2, 8, 8, 3), np.uint8)
    for quality in predictor.quality(FACES, images):
        assert quality.lpips > 0
        assert (quality.identity_similarity, quality.same_person) == (None, None)


def test_a_judge_with_other_bytes_is_refused(converted, cache, tmp_path):
    (tmp_path / "converted").symlink_to(converted / "converted")
    (tmp_path / "weights").mkdir()
    for file in (converted / "weights").iterdir():
        if file.name != "faceres.safetensors":
            (tmp_path / "weights" / file.name).symlink_to(file)
    (tmp_path / "weights" / "faceres.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match=r"must have SHA-256 .* delete it and run"):
        load(tmp_path, None)


def test_a_cpu_runs_no_operation_in_batches(converted):
    predictor = load(converted, None)
    assert not any(predictor.batches(operation) for operation in get_args(Operation))
    predictor.device = "cuda"  # what it says of one, without one
    batched = {operation for operation in get_args(Operation) if predictor.batches(operation)}
    assert batched == {"embed", "merge", "detail", "synthesize", "quality"}
