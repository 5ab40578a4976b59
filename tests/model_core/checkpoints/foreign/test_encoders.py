"""Encoders and recognisers against what the original implementations gave for the same weights.

Their weights are too large to keep: both sides fill theirs from the names.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet50

from model_core.checkpoints.foreign.psp import PSP, read_psp
from model_core.checkpoints.foreign.recognisers import (
    IRESNET,
    IRSE,
    RESNET50,
    read_iresnet,
    read_irse,
)
from model_core.encoders.arcface import ArcFaceIdentity, IResNetFace, IRSEFace
from model_core.encoders.attribute import AttributeEncoder
from model_core.encoders.style_encoder import StyleEncoder, StyleEncoderConfig
from model_core.errors import CheckpointError, InvalidInputError
from model_core.generators.families import FAMILIES
from tests.model_core.checkpoints.foreign.seeded import (
    psp_content,
    rosinality_content,
    rosinality_shapes,
    seeded_face,
    seeded_state,
    shapes_of,
)

ORIGINALS = Path(__file__).parent / "originals"


def filled(network, state):
    left = network.load_state_dict(state, strict=False)
    assert not left.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in left.missing_keys)
    return network.eval()


def golden(name):
    return torch.from_numpy(np.load(ORIGINALS / f"{name}_codes.npy"))


@torch.no_grad()
def test_insightface_embeddings_are_the_originals():
    content = seeded_state(shapes_of(IResNetFace((2, 2, 2, 2))))
    assert IRESNET.matches(content)
    foreign = read_iresnet(content)
    assert foreign.config == {"blocks": [2, 2, 2, 2]}
    identity = ArcFaceIdentity(filled(IResNetFace((2, 2, 2, 2)), foreign.state))
    assert (identity.descriptor(seeded_face()) - golden("iresnet")).abs().max() <= 1e-4


@torch.no_grad()
@pytest.mark.slow
def test_arcface_embeddings_are_the_originals():
    config = {"layers": 50, "excited": True, "affine": True}
    foreign = read_irse(seeded_state(shapes_of(IRSEFace(**config))))
    assert foreign.config == config
    identity = ArcFaceIdentity(filled(IRSEFace(**config), foreign.state))
    assert (identity.descriptor(seeded_face()) - golden("arcface")).abs().max() <= 1e-4


@torch.no_grad()
@pytest.mark.slow
def test_curricularface_embeddings_are_the_originals():
    config = {"layers": 100, "excited": False, "affine": False}
    content = seeded_state(shapes_of(IRSEFace(**config)))
    assert IRSE.matches(content)
    foreign = read_irse(content)
    assert foreign.config == config
    identity = ArcFaceIdentity(filled(IRSEFace(**config), foreign.state))
    assert (identity.descriptor(seeded_face()) - golden("curricularface")).abs().max() <= 1e-4


@torch.no_grad()
@pytest.mark.slow
def test_e4e_codes_are_the_originals():
    config = StyleEncoderConfig(num_ws=8, residual_rows=True)
    (foreign,) = read_psp(psp_content(config, "Encoder4Editing")).companions
    assert StyleEncoderConfig(**foreign.config) == config
    encoder = filled(StyleEncoder(config), foreign.state)
    assert (encoder(seeded_face()) - golden("e4e")).abs().max() <= 1e-3


RESTYLE = [("BackboneEncoder", "psp"), ("ProgressiveBackboneEncoder", "e4e")]


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), RESTYLE)
def test_restyles_codes_are_the_originals(kind, name):
    """Five passes, each of which looks at the generator's image of the last."""
    config = StyleEncoderConfig(num_ws=4, pyramid=False, residual_rows=name == "e4e", steps=5)
    with torch.device("meta"):
        encoder = StyleEncoder(config, FAMILIES["stylegan2"]({"widths": (512, 512)}))
    encoder.generator = None
    shapes = {f"encoder.{k}": v for k, v in shapes_of(encoder, leave_out=["mean"]).items()}
    shapes |= {f"decoder.{k}": v for k, v in rosinality_shapes(8, 512).items()}
    mean = torch.from_numpy(np.random.default_rng(5).standard_normal((4, 512))).float()
    options = {"encoder_type": kind, "n_iters_per_batch": 5}
    content = {"state_dict": seeded_state(shapes), "opts": options, "latent_avg": mean}
    assert PSP.matches(content)
    foreign = read_psp(content)
    (companion,) = foreign.companions
    assert StyleEncoderConfig(**companion.config) == config
    generator = FAMILIES[foreign.family](foreign.config).eval()
    generator.load_state_dict(foreign.state, strict=False)
    network = StyleEncoder(config, generator)
    kept = {k: v for k, v in network.state_dict().items() if k.startswith("generator.")}
    codes = filled(network, companion.state | kept)(seeded_face())
    assert (codes - golden(f"restyle_{name}")).abs().max() <= 1e-3


def test_encoders_of_other_kinds_are_refused():
    content = psp_content(StyleEncoderConfig(num_ws=4, pyramid=False), "ResNetBackboneEncoder")
    with pytest.raises(CheckpointError, match=r"encoder must be one of .* got ResNetBackboneE"):
        read_psp(content)


def test_an_encoder_of_other_codes_than_the_generators_is_refused():
    state = {f"decoder.{k}": value for k, value in rosinality_content(32)["g_ema"].items()}
    state["encoder.input_layer.0.weight"] = torch.zeros(64, 3, 3, 3)
    state |= {f"encoder.styles.{i}.linear.weight": torch.zeros(512, 512) for i in range(4)}
    content = {"state_dict": state, "opts": {}, "latent_avg": torch.zeros(4, 512)}
    with pytest.raises(CheckpointError, match=r"rows of 8 x 512, got 4 x 512"):
        read_psp(content)


def test_restyle_needs_a_generator():
    with pytest.raises(InvalidInputError, match="generator must be given"), torch.device("meta"):
        StyleEncoder(StyleEncoderConfig(num_ws=4, pyramid=False, steps=5))


@torch.no_grad()
def test_resnet50_gives_the_features_of_imagenet_images():
    torch.manual_seed(0)
    theirs = resnet50(weights=None).eval()
    assert RESNET50.matches(theirs.state_dict())
    encoder = filled(AttributeEncoder(), RESNET50.read(theirs.state_dict()).state)
    img = torch.rand(1, 3, 64, 64) * 2 - 1
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    want = theirs.bn1(theirs.conv1((img / 2 + 0.5 - mean) / std))
    got = encoder.stem[1](encoder.stem[0](img))
    inside = (..., slice(2, -2), slice(2, -2))  # at the border the paddings stand for other colours
    torch.testing.assert_close(got[inside], want[inside], atol=1e-4, rtol=1e-4)
    assert encoder(img).shape == (1, 2048, 2, 2)
