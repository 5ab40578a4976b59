"""NVIDIA's TensorFlow pickles, .pkl: three networks of StyleGAN, StyleGAN2 or StyleGAN2-ADA.

Source: dnnlib/tflib/network.py and training/networks*.py of NVlabs/stylegan, stylegan2 and
stylegan2-ada, for the fields and the variables' names.
"""

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from model_core.checkpoints.foreign.contents import Foreign, Layout, Tensors, has_keys, parts
from model_core.checkpoints.foreign.stylegan2_weights import stylegan2_of
from model_core.checkpoints.foreign.stylegan_weights import stylegan_of

MAPPING_LR = 0.01

CONVOLUTION = {
    "weight": "weight",
    "bias": "bias",
    "noise_strength": "noise_strength",
    "mod_weight": "affine.weight",
    "mod_bias": "affine.bias",
}
STYLEGAN_PARTS = {
    "weight": "weight",
    "bias": "bias",
    "Noise/weight": "noise_strength",
    "StyleMod/weight": "style.weight",
    "StyleMod/bias": "style.bias",
}


def read_nvidia_tensorflow(content: Any) -> Foreign:
    """Read the averaged generator, which is the last of the three."""
    network = content[2]
    source = Tensors(dict(_variables(network)))
    settings = network.get("static_kwargs", {}) | network["components"]["mapping"].get(
        "static_kwargs", {}
    )
    mapping_lr = float(settings.get("mapping_lrmul") or MAPPING_LR)
    if "synthesis/4x4/Conv/mod_weight" in source:
        clamp = float(settings.get("conv_clamp") or 0)
        return stylegan2_of("nvidia-tensorflow", _stylegan2(source), mapping_lr, clamp)
    return stylegan_of("nvidia-tensorflow", _stylegan(source), mapping_lr)


def _variables(generator: Any) -> Iterator[tuple[str, Any]]:
    """Yield the variables of a network and its components."""
    for prefix, network in parts(generator, ("variables", "components"), "components", "/"):
        yield from ((prefix + name, value) for name, value in network["variables"])


def _stylegan2(source: Tensors) -> Tensors:
    """Give StyleGAN2's variables the names and axes of NVIDIA's PyTorch code."""
    source.refuse(["LabelEmbed"], "a generator with class labels is not covered")
    named: dict[str, Tensor] = {}
    for name, value in source.left.items():
        if found := re.fullmatch(r"mapping/Dense(\d+)/(weight|bias)", name):
            named[f"mapping.fc{found[1]}.{found[2]}"] = value.T if value.ndim == 2 else value
        elif name == "dlatent_avg":
            named["mapping.w_avg"] = value
        elif name == "synthesis/4x4/Const/const":
            named["synthesis.b4.const"] = value[0]
        elif found := re.fullmatch(r"synthesis/noise(\d\d?)", name):
            layer = int(found[1])
            named[f"synthesis.b{4 << (layer + 1) // 2}.conv{(layer + 1) % 2}.noise_const"] = value[
                0, 0
            ]
        elif found := re.fullmatch(
            r"synthesis/(\d+)x\d+/(Conv|Conv0_up|Conv1|ToRGB|Skip)/(\w+)", name
        ):
            part = {"Conv0_up": "conv0", "ToRGB": "torgb", "Skip": "skip"}.get(found[2], "conv1")
            ours = CONVOLUTION.get(found[3], found[3])
            named[f"synthesis.b{found[1]}.{part}.{ours}"] = _turned(value, found[2], found[3])
    return Tensors(named)


def _turned(value: Tensor, layer: str, part: str) -> Tensor:
    """Bring a variable's axes into torch's order; upsampling kernels are stored the other way."""
    if part == "weight":
        value = value.permute(3, 2, 0, 1)
        return value.flip(2, 3) if layer == "Conv0_up" else value
    if part == "mod_weight":
        return value.T
    return value + 1 if part == "mod_bias" else value


def _stylegan(source: Tensors) -> Tensors:
    """Give StyleGAN's variables the names and axes of genforce's code."""
    source.refuse(["LabelConcat"], "a generator with class labels is not covered")
    heads = source.count("synthesis/ToRGB_lod{}/weight")
    named: dict[str, Tensor] = {}
    for name, value in source.left.items():
        if found := re.fullmatch(r"mapping/Dense(\d+)/(weight|bias)", name):
            named[f"mapping.dense{found[1]}.{found[2]}"] = value.T if value.ndim == 2 else value
        elif name == "dlatent_avg":
            named["truncation.w_avg"] = value
        elif name == "synthesis/lod":
            named["synthesis.lod"] = value
        elif name == "synthesis/4x4/Const/const":
            named["synthesis.layer0.const"] = value
        elif found := re.fullmatch(r"synthesis/noise(\d+)", name):
            named[f"synthesis.layer{found[1]}.noise"] = value
        elif found := re.fullmatch(r"synthesis/ToRGB_lod(\d+)/(weight|bias)", name):
            turned = value.permute(3, 2, 0, 1) if value.ndim == 4 else value
            named[f"synthesis.output{heads - 1 - int(found[1])}.{found[2]}"] = turned
        elif found := re.fullmatch(
            r"synthesis/(\d+)x\d+/(Const|Conv|Conv0_up|Conv1)/([\w/]+)", name
        ):
            layer = 2 * (int(found[1]).bit_length() - 3) + (found[2] in ("Conv", "Conv1"))
            turned = value.permute(3, 2, 0, 1) if value.ndim == 4 else value
            turned = turned.T if turned.ndim == 2 else turned
            named[f"synthesis.layer{layer}.{STYLEGAN_PARTS.get(found[3], found[3])}"] = turned
    return Tensors(named)


def _matches(content: Any) -> bool:
    return (
        isinstance(content, tuple)
        and len(content) == 3
        and has_keys(content[2], "variables", "components")
        and has_keys(content[2]["components"], "mapping", "synthesis")
    )


NVIDIA_TENSORFLOW = Layout("nvidia-tensorflow", _matches, read_nvidia_tensorflow)
