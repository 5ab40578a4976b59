"""NVIDIA's StyleGAN2-ADA in PyTorch, .pkl: networks pickled together with their source code.

The source code is text in the file and is ignored; the networks' attributes are read. StyleGAN3
and StyleGAN-XL save their StyleGAN2 networks in the same way.
Source: training/networks.py and torch_utils/persistence.py of NVlabs/stylegan2-ada-pytorch, for the
names and the settings.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from model_core.checkpoints.foreign.checks import expect, spread_remark
from model_core.checkpoints.foreign.contents import Foreign, Found, Layout, parts
from model_core.checkpoints.foreign.stylegan2_weights import stylegan2_of
from model_core.checkpoints.foreign.tensors import Tensors, shown
from model_core.errors import CheckpointError

MAPPING_LR = 0.01
GAIN_TOLERANCE = 1e-3

BARE = (
    "the file has tensors without settings: leaky ReLU, a mapping multiplier of 0.01 and no "
    "conv_clamp are assumed"
)
ALIAS_FREE = re.compile(r"(?:synthesis\.)?(?:L\d+_\d+_\d+|input)\b.*")

NAMES = re.compile(
    r"mapping\.(?:w_avg|(?:fc\d+|embed)\.(?:weight|bias))"
    r"|synthesis\.b\d+\.(?:const|resample_filter|skip\.\w+"
    r"|(?:conv0|conv1|torgb)\.(?:weight|bias|noise_const|noise_strength|resample_filter"
    r"|affine\.(?:weight|bias)))"
    # StyleGAN3's names, so that the error can say what the file is:
    r"|synthesis\.(?:input|L\d+_\d+_\d+)\..+"
)


def read_ada_pytorch(found: Found) -> Foreign:
    """Read the averaged generator of a network pickle, or a generator's state dict."""
    if any(map(ALIAS_FREE.fullmatch, found.state)):
        raise CheckpointError(
            "generator must be StyleGAN2's, got that of StyleGAN3 or StyleGAN-XL (alias-free "
            "layers such as synthesis.L0_36_512), which is not supported"
        )
    if any(name.startswith("mapping.embed") for name in found.state):
        raise CheckpointError(
            "checkpoint must not hold mapping.embed: a generator with class labels is not supported"
        )
    if any(".skip." in name for name in found.state):
        raise CheckpointError("architecture must be skip, got resnet: it is not supported")
    images = [name for name in found.state if name.endswith(".torgb.weight")]
    blocks = {name.split(".")[1] for name in found.state if ".conv1." in name}
    if len(images) == 1 and len(blocks) > 1 and images[0].split(".")[1] != "b4":
        raise CheckpointError("architecture must be skip, got orig: it is not supported")
    source = Tensors(found.state, turn=_turned)
    if found.module is None:
        source.require(["mapping.fc0.weight", "mapping.w_avg"])
        remarks = [BARE, *spread_remark(source, "mapping.fc0.weight", MAPPING_LR)]
        foreign = stylegan2_of("stylegan2-ada-pytorch", source, MAPPING_LR, filters=_filters)
        foreign.remarks += remarks
        return foreign
    return _read_module(found.module, source)


def _read_module(generator: Mapping[str, Any], source: Tensors) -> Foreign:
    """Read a pickled generator, whose layers record their settings."""
    records = dict(parts(generator, ("_modules",), "_modules", "."))
    layers = {name.removesuffix("."): record for name, record in records.items()}
    mapping = layers.get("mapping", {})
    clamps = {name: layer["conv_clamp"] for name, layer in layers.items() if "conv_clamp" in layer}
    rates = {
        name: float(layer.get("bias_gain", MAPPING_LR))
        for name, layer in layers.items()
        if re.fullmatch(r"mapping\.fc\d+", name)
    }
    for name, layer in layers.items():
        _check_layer(name, layer)
    for what, values in (("conv_clamp", clamps), ("lr_multiplier", rates)):
        if len(set(values.values())) > 1:
            raise CheckpointError(
                f"{what} must be one for all layers, got {sorted(map(str, set(values.values())))}: "
                "it is not supported"
            )
    if not rates:
        source.require(["mapping.fc0.weight"])
    noisy = {bool(layer["use_noise"]) for layer in layers.values() if "use_noise" in layer}
    if len(noisy) > 1:
        raise CheckpointError("use_noise must be one for all layers, got both: it is not supported")
    if mapping.get("w_avg_beta", 0) is not None:
        source.require(["mapping.w_avg"])
    foreign = stylegan2_of(
        "stylegan2-ada-pytorch",
        source,
        next(iter(rates.values())),
        float(next(iter(clamps.values()), None) or 0),
        filters=_filters,
        use_noise=noisy != {False},
    )
    _check_facts(layers, foreign)
    if any(layer.get("use_fp16") for layer in layers.values()):
        foreign.remarks.append("the original runs its largest sizes in float16; here in float32")
    return foreign


def _check_layer(name: str, layer: Mapping[str, Any]) -> None:
    """Refuse recorded settings of a layer that our network does not have."""

    def stated(setting: str, *known: object) -> None:
        if setting in layer:
            expect(f"{setting} of {name or 'the generator'}", layer[setting], *known)

    affine = name.endswith(".affine")
    if re.fullmatch(r"mapping\.fc\d+|.*\.conv[01]", name) or affine:
        stated("activation", "linear" if affine else "lrelu")
    if affine:
        stated("bias_gain", 1)
    if name.endswith((".conv0", ".conv1")):
        stated("up", 2 if name.endswith("0") else 1)
        stated("padding", 1)
        _near(name, layer, "act_gain", math.sqrt(2))
    stated("architecture", "skip")
    stated("img_channels", 3)
    stated("c_dim", 0)
    weight = (layer.get("_parameters") or {}).get("weight")
    if isinstance(weight, Tensor) and weight.ndim in (2, 4) and weight.numel():
        rate = float(layer.get("bias_gain", 1))
        _near(name, layer, "weight_gain", rate * weight[0].numel() ** -0.5)


def _near(name: str, layer: Mapping[str, Any], setting: str, want: float) -> None:
    got = layer.get(setting, want)
    if not isinstance(got, int | float) or abs(got - want) > GAIN_TOLERANCE * want:
        raise CheckpointError(
            f"{setting} of {name} must be {want:.4g}, got {str(got)[:40]}: it is not supported"
        )


def _check_facts(layers: Mapping[str, Mapping[str, Any]], foreign: Foreign) -> None:
    """Compare the sizes the pickle states with those of its tensors."""
    config = foreign.config
    facts = {
        "img_resolution": 2 << len(config["widths"]),
        "num_ws": 2 * len(config["widths"]),
        "w_dim": config["w_dim"],
        "z_dim": config["w_dim"],
        "num_layers": config["mapping_layers"],
    }
    for name in ("", "mapping", "synthesis"):
        for setting, fact in facts.items():
            got = layers.get(name, {}).get(setting, fact)
            if got not in (fact, None):
                raise CheckpointError(
                    f"{setting} of {name or 'the generator'} must be {fact}, as in its tensors, "
                    f"got {str(got)[:40]}"
                )
    unknown = [
        name
        for name in layers
        if name.count(".") == 1 and name.startswith("synthesis.") and not _is_block(name, foreign)
    ]
    if unknown:
        raise CheckpointError(
            f"generator must consist of blocks b4 to b{facts['img_resolution']}, got "
            f"{shown(unknown)}"
        )
    for name, layer in layers.items():
        if hit := re.fullmatch(r"synthesis\.b(\d+)(?:\.conv[01])?", name):
            expect(f"resolution of {name}", layer.get("resolution", int(hit[1])), int(hit[1]))


def _is_block(name: str, foreign: Foreign) -> bool:
    hit = re.fullmatch(r"synthesis\.b(\d+)", name)
    return hit is not None and int(hit[1]) in [4 << i for i in range(len(foreign.config["widths"]))]


def _turned(name: str, value: Tensor) -> Tensor:
    return value[None] if name == "synthesis.b4.const" else value


def _filters(sizes: Sequence[int]) -> list[str]:
    owners = [f"b{px}{layer}" for px in sizes for layer in ("", ".conv0", ".conv1")]
    return [f"synthesis.{name}.resample_filter" for name in owners if name != "b4.conv0"]


ADA_PYTORCH = Layout("stylegan2-ada-pytorch", NAMES, read_ada_pytorch)
