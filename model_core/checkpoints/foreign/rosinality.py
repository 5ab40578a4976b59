"""rosinality/stylegan2-pytorch: converted weights and training checkpoints, .pt.

Source: model.py, swagan.py and train.py of that project (MIT), for the names.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from model_core.checkpoints.foreign.checks import expect, spread_remark
from model_core.checkpoints.foreign.contents import Foreign, Found, Layout
from model_core.checkpoints.foreign.stylegan2_weights import stylegan2_of
from model_core.checkpoints.foreign.tensors import Tensors
from model_core.errors import CheckpointError

MAPPING_LR = 0.01
"""The default settings of the project's Generator; files do not record them."""

_STYLED = r"conv\.weight|conv\.modulation\.(?:weight|bias)"
NAMES = re.compile(
    r"style\.\d+\.(?:weight|bias)|input\.input|noises\.noise_\d+"
    rf"|(?:conv1|convs\.\d+)\.(?:{_STYLED}|noise\.weight|activate\.bias|conv\.blur\.kernel)"
    rf"|(?:to_rgb1|to_rgbs\.\d+)\.(?:{_STYLED}|bias|upsample\.kernel)"
)
WAVELETS = re.compile(r"(?:to_rgbs\.\d+\.)?(?:iwt|dwt)\.(?:ll|lh|hl|hh)")

PARTS = {
    "weight": "conv.weight",
    "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias",
    "noise_strength": "noise.weight",
    "resample_filter": "conv.blur.kernel",
}


def read_rosinality(found: Found) -> Foreign:
    """Read the averaged generator, and the mean code if the file has one."""
    foreign = rosinality_generator("rosinality", found.state, found.around.get("latent_avg"))
    options = found.around.get("args")
    stated = dict(options) if isinstance(options, Mapping) else {}
    sizes = 2 << len(foreign.config["widths"])
    expect("args.size", stated.get("size", sizes), sizes)
    expect("args.latent", stated.get("latent", foreign.config["w_dim"]), foreign.config["w_dim"])
    layers = foreign.config["mapping_layers"]
    expect("args.n_mlp", stated.get("n_mlp", layers), layers)
    return foreign


def rosinality_generator(layout: str, state: Mapping[str, Any], mean: Any) -> Foreign:
    """Read a generator with this project's names.

    Args:
        layout: Name of the file's layout.
        state: The generator's state dict.
        mean: Mean code, (w_dim,) or one row per row of W+; None if missing.
    """
    source = Tensors(
        {**state, "latent_avg": mean} if mean is not None else state, spell_rosinality, _turned
    )
    if any(map(WAVELETS.fullmatch, source.left)):
        raise CheckpointError(
            "generator must be StyleGAN2's, got SWAGAN's (with wavelet image layers), which is "
            "not supported"
        )
    source.require(["mapping.fc0.weight"])
    given = source.left.get("latent_avg", torch.empty(1))
    rows = given.numel() // max((given.shape or (1,))[-1], 1)
    warning = spread_remark(source, "mapping.fc0.weight", MAPPING_LR)
    foreign = stylegan2_of(layout, source, MAPPING_LR, filters=_filters)
    expect("rows of latent_avg", rows, 1, num_ws(foreign))
    foreign.remarks += warning
    return foreign


def num_ws(foreign: Foreign) -> int:
    """Return the number of rows in a StyleGAN2 generator's code."""
    return 2 * len(foreign.config["widths"])


def spell_rosinality(name: str) -> str:
    """Translate a StyleGAN2-ADA name to the project's."""
    if found := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", name):
        return f"style.{int(found[1]) + 1}.{found[2]}"
    if name in ("mapping.w_avg", "synthesis.b4.const"):
        return {"mapping.w_avg": "latent_avg"}.get(name, "input.input")
    found = re.fullmatch(r"synthesis\.b(\d+)\.(conv0|conv1|torgb)\.(.+)", name)
    if not found:
        return name
    stage = int(found[1]).bit_length() - 3  # 0 at 4 px
    if found[2] == "torgb":
        layer = f"to_rgbs.{stage - 1}" if stage else "to_rgb1"
        parts = PARTS | {"resample_filter": "upsample.kernel"}
        return f"{layer}.{parts.get(found[3], found[3])}"
    index = 2 * stage - (found[2] == "conv0")  # index among all convolutions
    if found[3] == "noise_const":
        return f"noises.noise_{index}"
    layer = f"convs.{index - 1}" if index else "conv1"
    return f"{layer}.{(PARTS | {'bias': 'activate.bias'}).get(found[3], found[3])}"


def _turned(name: str, value: Tensor) -> Tensor:
    """Drop the leading axis of modulated kernels, and a mean code's repetitions."""
    if name.endswith((".weight", ".noise_const")) and value.ndim in (4, 5) and len(value) == 1:
        return value[0]
    return value.reshape(-1, value.shape[-1])[0] if name == "mapping.w_avg" else value


def _filters(sizes: Sequence[int]) -> list[str]:
    return [
        f"synthesis.b{px}.{layer}.resample_filter"
        for px in sizes[1:]
        for layer in ("conv0", "torgb")
    ]


ROSINALITY = Layout("rosinality", NAMES, read_rosinality, ("latent_avg", "args"))
