"""Face recognisers, .pth: model_ir_se50, CurricularFace, insightface.

Our networks use the same tensor names, so a reader only selects the network and checks its tensors.
"""

import re
from typing import Any

import torch
from torch import nn

from model_core.checkpoints.foreign.contents import Foreign, Found, Layout
from model_core.checkpoints.foreign.tensors import Tensors
from model_core.encoders.arcface import IResNetFace, IRSEFace
from model_core.encoders.irse import BLOCKS
from model_core.errors import CheckpointError

COUNTER = "num_batches_tracked"
MAX_BLOCKS = 100

_NORM = r"(?:weight|bias|running_mean|running_var|num_batches_tracked)"
IRSE_NAMES = re.compile(
    rf"input_layer\.(?:0\.weight|1\.{_NORM}|2\.weight)|output_layer\.[034]\.{_NORM}"
    rf"|body\.\d+\.(?:shortcut_layer\.[01]|res_layer\.[0-4])\.{_NORM}"
    r"|body\.\d+\.res_layer\.5\.fc[12]\.weight"
)
IRESNET_NAMES = re.compile(
    rf"conv1\.weight|(?:bn[12]|features)\.{_NORM}|prelu\.weight|fc\.(?:weight|bias)"
    rf"|layer[1-4]\.\d+\.(?:bn[123]\.{_NORM}|conv[12]\.weight|prelu\.weight"
    rf"|downsample\.0\.weight|downsample\.1\.{_NORM})"
)


def read_irse(found: Found) -> Foreign:
    """Read an IR or IR-SE recogniser for 112 px chips."""
    source = Tensors(found.state)
    ends = [f".res_layer.{i}.weight" for i in range(5)] + [".res_layer.5.fc1.weight"]
    blocks = source.count("body.{}", ends)
    layers = [layers for layers, stages in BLOCKS.items() if sum(stages) == blocks]
    if not layers:
        raise CheckpointError(
            f"body must have the blocks of a network of {list(BLOCKS)} layers, got {blocks}"
        )
    excited = any(".res_layer.5." in name for name in source.left)
    affine = any(f"output_layer.4.{end}" in source for end in ("weight", "bias"))
    config = {"layers": layers[0], "excited": excited, "affine": affine}
    with torch.device("meta"):
        network = IRSEFace(layers[0], excited, affine)
    return _all("ir-se", "arcface-irse", config, source, network)


def read_iresnet(found: Found) -> Foreign:
    """Read one of insightface's iresnets."""
    source = Tensors(found.state)
    ends = (".conv1.weight", ".conv2.weight", ".bn1.weight", ".prelu.weight")
    blocks = [source.count(f"layer{i}.{{}}", ends) for i in range(1, 5)]
    if not all(1 <= each <= MAX_BLOCKS for each in blocks):
        raise CheckpointError(f"layer1 to layer4 must have blocks, got {blocks}")
    with torch.device("meta"):
        network = IResNetFace(tuple(blocks))
    return _all("insightface-iresnet", "arcface-iresnet", {"blocks": blocks}, source, network)


def _all(
    layout: str, family: str, config: dict[str, Any], source: Tensors, network: nn.Module
) -> Foreign:
    """Take the network's tensors, ignoring BatchNorm's batch counters."""
    names = list(network.state_dict())
    source.require(name for name in names if not name.endswith(COUNTER))
    source.all_or_none(name for name in names if name.endswith(COUNTER))
    source.drop(rf".*{COUNTER}")
    state = {name: source.take(name) for name in names if not name.endswith(COUNTER)}
    return Foreign(layout, family, config, state, source.finish("a face recogniser"))


IRSE = Layout("ir-se", IRSE_NAMES, read_irse)
IRESNET = Layout(
    "insightface-iresnet",
    IRESNET_NAMES,
    read_iresnet,
    marker=re.compile(r"(?:.*\.)?prelu\.weight|features\..+"),
)
