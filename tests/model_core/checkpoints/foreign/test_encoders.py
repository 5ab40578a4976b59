"""Encoders and recognisers against what the original implementations gave for the same weights.

Their weights are too large to keep: both sides fill theirs from the names.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.models import resnet34

from model_core.checkpoints.foreign.psp import new_encoder
from model_core.checkpoints.importer import import_checkpoint
from model_core.checkpoints.inspection import read_content
from model_core.encoders.arcface import ArcFaceIdentity, IResNetFace, IRSEFace
from model_core.encoders.style_encoder import StyleEncoder, StyleEncoderConfig
from model_core.errors import CheckpointError, InvalidInputError
from model_core.generators.families import FAMILIES
from model_core.networks.loading import load_embedder, load_generator
from model_core.weights.cache import encoder_path
from tests.model_core.checkpoints.foreign.seeded import (
    psp_content,
    rosinality_shapes,
    seeded_face,
    seeded_state,
    shapes_of,
    thin_psp_content,
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
    foreign = read_content(content, "file")
    assert foreign.config == {"blocks": [2, 2, 2, 2]}
    identity = ArcFaceIdentity(filled(IResNetFace((2, 2, 2, 2)), foreign.state))
    assert (identity.descriptor(seeded_face()) - golden("iresnet")).abs().max() <= 1e-4


@torch.no_grad()
@pytest.mark.slow
def test_arcface_embeddings_are_the_originals():
    config = {"layers": 50, "excited": True, "affine": True}
    foreign = read_content(seeded_state(shapes_of(IRSEFace(**config))), "file")
    assert foreign.config == config
    identity = ArcFaceIdentity(filled(IRSEFace(**config), foreign.state))
    assert (identity.descriptor(seeded_face()) - golden("arcface")).abs().max() <= 1e-4


@torch.no_grad()
@pytest.mark.slow
def test_curricularface_embeddings_are_the_originals():
    config = {"layers": 100, "excited": False, "affine": False}
    content = seeded_state(shapes_of(IRSEFace(**config)))
    foreign = read_content(content, "file")
    assert foreign.config == config
    identity = ArcFaceIdentity(filled(IRSEFace(**config), foreign.state))
    assert (identity.descriptor(seeded_face()) - golden("curricularface")).abs().max() <= 1e-4


@torch.no_grad()
@pytest.mark.slow
def test_e4e_codes_are_the_originals():
    config = StyleEncoderConfig(num_ws=8, residual_rows=True)
    (foreign,) = read_content(psp_content(config, "Encoder4Editing"), "file").companions
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
    foreign = read_content(content, "file")
    (companion,) = foreign.companions
    assert StyleEncoderConfig(**companion.config) == config
    generator = FAMILIES[foreign.family](foreign.config).eval()
    generator.load_state_dict(foreign.state, strict=False)
    network = StyleEncoder(config, generator)
    kept = {k: v for k, v in network.state_dict().items() if k.startswith("generator.")}
    codes = filled(network, companion.state | kept)(seeded_face())
    assert (codes - golden(f"restyle_{name}")).abs().max() <= 1e-3


def restyle_content(config, kind, steps=5):
    """Make a ReStyle file around a narrow generator of 8 px."""
    with torch.device("meta"):
        encoder = shapes_of(new_encoder(asdict(config)), leave_out=["mean"])
    shapes = {f"encoder.{k}": v for k, v in encoder.items()}
    shapes |= {f"decoder.{k}": v for k, v in rosinality_shapes(8, 8).items()}
    mean = torch.from_numpy(np.random.default_rng(5).standard_normal((4, 512))).float()
    options = {"encoder_type": kind, "n_iters_per_batch": steps}
    return {"state_dict": seeded_state(shapes), "opts": options, "latent_avg": mean}


class TheirResNet(torch.nn.Module):
    """ReStyle's encoder on ResNet-34, written from its description with torchvision's blocks."""

    def __init__(self, state):
        super().__init__()
        self.state, self.network = state, resnet34(weights=None)
        stages = [getattr(self.network, f"layer{i}") for i in range(1, 5)]
        self.blocks = [block for stage in stages for block in stage]
        for i, block in enumerate(self.blocks):
            own = {k.removeprefix(f"body.{i}."): v for k, v in state.items()}
            block.load_state_dict({k: own[k] for k in block.state_dict() if k in own}, strict=False)
            block.eval()

    def forward(self, x):
        state = self.state
        norm = [state[f"bn1.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
        x = F.conv2d(x, state["conv1.weight"], stride=2, padding=3)
        x = F.prelu(F.batch_norm(x, *norm), state["relu.weight"])
        for block in self.blocks:
            x = block(x)
        rows = []
        for i in range(4):
            row = x
            for j in range(0, 8, 2):
                name = f"styles.{i}.convs.{j}"
                row = F.conv2d(row, state[f"{name}.weight"], state[f"{name}.bias"], 2, 1)
                row = F.leaky_relu(row)
            weight = state[f"styles.{i}.linear.weight"] * 512**-0.5
            rows.append(F.linear(row.flatten(1), weight, state[f"styles.{i}.linear.bias"]))
        return torch.stack(rows, dim=1)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "residual"),
    [("ResNetBackboneEncoder", False), ("ResNetProgressiveBackboneEncoder", True)],
)
def test_restyles_encoders_on_resnet34(kind, residual):
    """Their first pass, which looks at the mean face."""
    config = StyleEncoderConfig(4, pyramid=False, residual_rows=residual, looks=True, resnet=True)
    content = restyle_content(config, kind, steps=1)
    encoder = {k.removeprefix("encoder."): v.clone() for k, v in content["state_dict"].items()}
    foreign = read_content(content, "file")
    (companion,) = foreign.companions
    assert StyleEncoderConfig(**companion.config) == config
    generator = FAMILIES[foreign.family](foreign.config).eval()
    generator.load_state_dict(foreign.state, strict=False)
    network = StyleEncoder(config, generator)
    kept = {k: v for k, v in network.state_dict().items() if k.startswith("generator.")}
    codes = filled(network, companion.state | kept)(seeded_face())
    mean = content["latent_avg"][None]
    shown = F.interpolate(generator.synthesis(mean), (256, 256))  # 8 px: each repeated 32 times
    rows = TheirResNet(encoder)(torch.cat([seeded_face(), shown], dim=1))
    if residual:
        rows[:, 1:] += rows[:, :1]
    assert (codes - (mean + rows)).abs().max() <= 1e-3


@pytest.mark.slow
def test_restyle_of_one_pass_is_loaded(tmp_path):
    """It looks at the mean face once: its first layer has six channels as others' have."""
    config = StyleEncoderConfig(4, pyramid=False, looks=True)
    torch.save(restyle_content(config, "BackboneEncoder", steps=1), tmp_path / "restyle.pt")
    import_checkpoint(tmp_path / "restyle.pt", tmp_path, "restyle", "none", lambda _: None)
    generator, fingerprint = load_generator(tmp_path, "restyle")
    encoder = load_embedder(encoder_path(tmp_path, "restyle"), tmp_path, generator, fingerprint)
    assert (encoder.config.steps, encoder.config.looks) == (1, True)
    with torch.no_grad():
        assert encoder(seeded_face()).shape == (1, 4, 512)


def test_encoders_of_other_kinds_are_refused():
    content = thin_psp_content("BackboneEncoderUsingLastLayerIntoW")
    with pytest.raises(CheckpointError, match=r"encoder must be one of .* got BackboneEncoderUs"):
        read_content(content, "file")


def test_an_encoder_of_other_codes_than_the_generators_is_refused():
    content = thin_psp_content("GradualStyleEncoder", img_px=32, rows=4)
    with pytest.raises(CheckpointError, match=r"the generator's 8 rows, got styles for 4"):
        read_content(content, "file")


def test_restyle_needs_a_generator():
    with pytest.raises(InvalidInputError, match="generator must be given"), torch.device("meta"):
        StyleEncoder(StyleEncoderConfig(num_ws=4, pyramid=False, steps=5))
