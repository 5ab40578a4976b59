"""For every layout: each tensor that is missing is named, and each that is left over."""

import copy
import re
from pathlib import Path

import pytest
import torch

from model_core.checkpoints.foreign.genforce import spell_genforce_stylegan2
from model_core.checkpoints.foreign.rosinality import spell_rosinality
from model_core.checkpoints.inspection import read_content
from model_core.containers.torch_file import read_foreign
from model_core.encoders.arcface import IResNetFace, IRSEFace
from model_core.errors import CheckpointError
from tests.model_core.checkpoints.foreign.seeded import (
    rosinality_content,
    shapes_of,
    thin,
    thin_psp_content,
)

ORIGINALS = Path(__file__).parent / "originals"


def original(name):
    return read_foreign(ORIGINALS / name)


def canonical_names():
    """Name the tensors of a StyleGAN2 of 32 px as StyleGAN2-ADA does."""
    names = [f"mapping.fc{i}.{part}" for i in range(8) for part in ("weight", "bias")]
    names += ["mapping.w_avg", "synthesis.b4.const"]
    for px in (4, 8, 16, 32):
        for layer in ("conv0", "conv1", "torgb")[px == 4 :]:
            parts = ["weight", "bias", "affine.weight", "affine.bias"]
            parts += ["noise_const", "noise_strength"] if layer != "torgb" else []
            names += [f"synthesis.b{px}.{layer}.{part}" for part in parts]
    return names


def stylegan2_tensors():
    """Take the tensors of a rosinality file by StyleGAN2-ADA's names and in its axes."""
    content = original("rosinality.pt")
    state = content["g_ema"] | {"latent_avg": content["latent_avg"]}
    tensors = {}
    for name in canonical_names():
        value = state[spell_rosinality(name)]
        leading = value.ndim in (4, 5) and len(value) == 1
        tensors[name] = value[0] if leading else value
    tensors |= {
        name: each.reshape(each.shape[-2:])
        for name, each in tensors.items()
        if name.endswith("noise_const")
    }
    return {k: v.reshape(()) if k.endswith("strength") else v for k, v in tensors.items()}


def genforce_stylegan2():
    """Name and turn the same tensors as genforce's StyleGAN2 has them, with its filters."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = 4 * (torch.outer(taps, taps) / 64)[None, None]
    state = {"synthesis.upsample.kernel": kernel}
    for name, each in stylegan2_tensors().items():
        value = each[None] if name.endswith("const") and name.startswith("synthesis.b4.c") else each
        value = each[None, None] if name.endswith("noise_const") else value
        value = each - 1 if name.endswith("affine.bias") else value
        state[spell_genforce_stylegan2(name)] = value
    state["synthesis.early_layer.const"] = state["synthesis.early_layer.const"].reshape(1, 8, 4, 4)
    return state | {f"synthesis.layer{i}.filter.kernel": kernel for i in (1, 3, 5)}


def modules_tensors(record, prefix=""):
    """Yield where a pickled module's tensors lie, each with its name."""
    for group in ("_parameters", "_buffers"):
        yield from ((record[group], key, prefix + key) for key in record[group])
    for key, inner in record["_modules"].items():
        yield from modules_tensors(inner, f"{prefix}{key}.")


class Variables:
    """Variables of a TensorFlow network, which are a list of pairs, as if they were a dict."""

    def __init__(self, network):
        self.network = network

    def __delitem__(self, key):
        pairs = self.network["variables"]
        self.network["variables"] = [pair for pair in pairs if pair[0] != key]

    def __setitem__(self, key, value):
        self.network["variables"] = [*self.network["variables"], (key, value)]


def tensors_of(content):
    """List (holder, key, name) of all tensors of the network that counts in a content."""
    if isinstance(content, tuple):
        network = content[2]
        yield from ((Variables(network), key, key) for key, _ in network["variables"])
        for part, inner in network["components"].items():
            yield from ((Variables(inner), key, f"{part}/{key}") for key, _ in inner["variables"])
    elif "G_ema" in content:
        yield from modules_tensors(content["G_ema"])
    else:
        state = content
        for key in ("g_ema", "generator_smooth", "state_dict"):
            state = content.get(key, state)
        yield from ((state, key, key) for key in state)
        if state is not content:
            for key, each in content.items():
                if isinstance(each, torch.Tensor):
                    yield content, key, key


CONTENTS = {
    name: lambda name=name: original(name)
    for name in sorted(p.name for p in ORIGINALS.iterdir() if p.suffix in (".pt", ".pth", ".pkl"))
} | {
    "ada, bare": stylegan2_tensors,
    "genforce StyleGAN2": genforce_stylegan2,
    "psp": lambda: thin_psp_content("GradualStyleEncoder"),
    "insightface": lambda: thin(shapes_of(IResNetFace((2, 2, 2, 2)))),
    "ir-se": lambda: thin(shapes_of(IRSEFace(50, True, True))),
    "curricularface": lambda: thin(shapes_of(IRSEFace(100, False, False))),
}

OPTIONAL = {
    "latent_avg": "files of training have none: it is estimated",
    "truncation.truncation": "strengths that InterFaceGAN makes when it loads a file",
    "lod": "no part of what the network computes",
}
"""What a file may lack, and why."""

EVERY = {"psp": 23, "ir-se": 11, "curricularface": 19}
"""Of the files with hundreds of alike tensors, every n-th is tried."""


@pytest.mark.parametrize("kind", sorted(CONTENTS))
def test_each_missing_tensor_is_named(kind):
    content = CONTENTS[kind]()
    places = list(tensors_of(content))[:: EVERY.get(kind, 1)]
    assert places
    for place in range(len(places)):
        changed = copy.copy(content) if kind in EVERY else copy.deepcopy(content)
        if kind == "psp":
            changed["state_dict"] = dict(content["state_dict"])
        holder, key, name = list(tensors_of(changed))[:: EVERY.get(kind, 1)][place]
        if name in OPTIONAL:
            continue
        del holder[key]
        told = re.escape(name.removeprefix("decoder.").removeprefix("encoder."))
        with pytest.raises(CheckpointError, match=rf"must hold .*{told}\b.*, got none"):
            read_content(changed, "file")


@pytest.mark.parametrize(
    "kind", sorted(CONTENTS.keys() - {"psp", "ir-se", "curricularface", "insightface"})
)
def test_each_tensor_left_over_is_named(kind):
    content = CONTENTS[kind]()
    holders = {id(holder): holder for holder, _, _ in tensors_of(content)}
    if isinstance(content, tuple):
        holders = {0: Variables(content[2]), 1: Variables(content[2]["components"]["synthesis"])}
    for holder in holders.values():
        changed = copy.deepcopy({"content": content, "holder": holder})
        changed["holder"]["mystery"] = torch.ones(2)
        with pytest.raises(CheckpointError, match=r"must hold .*, got .*mystery"):
            read_content(changed["content"], "file")


@pytest.mark.parametrize("where", ["encoder.styles.9.extra", "decoder.extra", "hypernet.0.weight"])
def test_unknown_tensors_next_to_an_encoder_are_named(where):
    content = thin_psp_content("GradualStyleEncoder")
    state = content["state_dict"]
    small = {k: v for k, v in state.items() if k.startswith("decoder.")}
    real = {k: torch.zeros(v.shape) for k, v in state.items() if k.startswith("encoder.")}
    content["state_dict"] = small | real | {where: torch.ones(1)}
    with pytest.raises(CheckpointError, match=rf"must hold .*{re.escape(where[8:])}"):
        read_content(content, "file")


def test_a_network_without_mapping_layers_is_refused():
    content = rosinality_content(16)
    state = {k: v for k, v in content["g_ema"].items() if not k.startswith("style.")}
    with pytest.raises(CheckpointError, match=r"must hold style\.1\.weight, got none"):
        read_content({"g_ema": state}, "file")


def test_all_counters_of_batches_may_be_missing_but_not_some():
    content = dict(thin(shapes_of(IResNetFace((1, 1, 1, 1)))))
    content["bn1.num_batches_tracked"] = torch.tensor(3)
    with pytest.raises(CheckpointError, match=r"must hold .*num_batches_tracked.*, got none"):
        read_content(content, "file")


@pytest.mark.parametrize("key", ["mystery", "latent_mean"])
def test_unknown_tensors_next_to_a_network_are_named(key):
    with pytest.raises(CheckpointError, match=f"nothing unknown next to .*, got {key}"):
        read_content(rosinality_content(16) | {key: torch.ones(512)}, "file")


def test_leftovers_of_training_are_ignored():
    beside = {
        "d": {"final.weight": torch.ones(1)},
        "g_optim": {"state": {0: {"exp_avg": torch.ones(1)}}},
        "discriminator_state_dict": {"x": torch.ones(1)},
        "iteration": 7,
    }
    assert read_content(rosinality_content(16) | beside, "file").family == "stylegan2"


def test_the_same_network_by_three_names_gives_the_same_weights():
    """Rosinality's, StyleGAN2-ADA's and genforce's names and axes."""
    contents = original("rosinality.pt"), stylegan2_tensors(), genforce_stylegan2()
    first, *others = (read_content(content, "file") for content in contents)
    assert [each.layout for each in others] == ["stylegan2-ada-pytorch", "genforce-stylegan2"]
    for other in others:
        assert other.config == first.config
        for key, value in first.state.items():
            torch.testing.assert_close(other.state[key], value, atol=1e-6, rtol=0)
