"""Face recognisers and image trunks, .pth: model_ir_se50, CurricularFace, insightface, ResNet-50.

Their names are kept, so reading them is choosing the network and leaving counters out.
"""

from typing import Any

import torch
from torch import Tensor

from model_core.checkpoints.foreign.contents import Foreign, Layout, Tensors, has_keys
from model_core.encoders.irse import BLOCKS
from model_core.errors import CheckpointError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def read_irse(content: Any) -> Foreign:
    """Read an IR or IR-SE recogniser for 112 px chips."""
    source = _weights(content)
    blocks = source.count("body.{}.res_layer.1.weight")
    layers = [layers for layers, stages in BLOCKS.items() if sum(stages) == blocks]
    if not layers:
        raise CheckpointError(
            f"body must have blocks as one of {list(BLOCKS)} layers, got {blocks}"
        )
    config = {
        "layers": layers[0],
        "excited": "body.0.res_layer.5.fc1.weight" in source,
        "affine": "output_layer.4.weight" in source,
    }
    return Foreign("ir-se", "arcface-irse", config, _all(source))


def read_iresnet(content: Any) -> Foreign:
    """Read one of insightface's iresnets."""
    source = _weights(content)
    blocks = [source.count(f"layer{i}.{{}}.conv1.weight") for i in range(1, 5)]
    return Foreign("insightface-iresnet", "arcface-iresnet", {"blocks": blocks}, _all(source))


def read_resnet50(content: Any) -> Foreign:
    """Read torchvision's ResNet-50 without its classifier, to be fed with images in [-1, 1].

    ImageNet's mean and spread are folded into the first layer; what its zero padding stands for
    moves from the mean colour to middle grey.
    """
    source = _weights(content)
    names = {name: name for name in source.left if not name.startswith("fc.")}
    names |= {n: n.replace("conv1.", "stem.0.", 1) for n in names if n.startswith("conv1.")}
    names |= {n: n.replace("bn1.", "stem.1.", 1) for n in names if n.startswith("bn1.")}
    state = {ours: source.take(theirs) for theirs, ours in names.items()}
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    weight = state["stem.0.weight"]
    shift = (weight * ((0.5 - mean) / std)[:, None, None]).sum(dim=(1, 2, 3))
    state["stem.0.weight"] = weight * (0.5 / std)[:, None, None]
    state["stem.1.running_mean"] = state["stem.1.running_mean"] - shift
    return Foreign("torchvision-resnet50", "resnet50-trunk", {}, state)


def _weights(content: Any) -> Tensors:
    return Tensors({k: v for k, v in content.items() if not str(k).endswith("num_batches_tracked")})


def _all(source: Tensors) -> dict[str, Tensor]:
    return {name: source.take(name) for name in list(source.left)}


IRSE = Layout(
    "ir-se",
    lambda content: has_keys(content, "input_layer.0.weight", "output_layer.3.weight"),
    read_irse,
)
IRESNET = Layout(
    "insightface-iresnet",
    lambda content: has_keys(content, "layer1.0.prelu.weight", "features.weight", "fc.weight"),
    read_iresnet,
)
RESNET50 = Layout(
    "torchvision-resnet50",
    lambda content: (
        has_keys(content, "conv1.weight", "layer4.2.bn3.weight", "layer3.5.bn3.weight")
        and "layer3.6.bn3.weight" not in content
    ),
    read_resnet50,
)
