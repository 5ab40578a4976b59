"""rosinality/stylegan2-pytorch: converted weights and training checkpoints, .pt.

Source: model.py and train.py of that project (MIT), for the names.
"""

import re
from collections.abc import Mapping
from typing import Any

from model_core.checkpoints.foreign.contents import Foreign, Layout, Tensors, has_keys
from model_core.checkpoints.foreign.stylegan2_weights import stylegan2_of

MAPPING_LR = 0.01
"""The project's Generator is always made with it; the file does not say."""

PARTS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
    "conv.blur.kernel": "resample_filter",
    "upsample.kernel": "resample_filter",
}


def read_rosinality(content: Any) -> Foreign:
    """Read a file of that project: the averaged generator, and the mean code where it is there."""
    return rosinality_generator("rosinality", content["g_ema"], content.get("latent_avg"))


def rosinality_generator(layout: str, state: Mapping[str, Any], mean: Any) -> Foreign:
    """Read a generator that has that project's names.

    Args:
        layout: Whose file it is.
        state: The generator's state dict.
        mean: Mean code, (w_dim,) or a row for each of W+; None where it is missing.
    """
    source = Tensors(state).rename(_rename)
    for name in [name for name in source.left if name.endswith((".weight", ".noise_const"))]:
        value = source.left[name]
        source.left[name] = value[0] if value.ndim in (4, 5) and len(value) == 1 else value
    source.left["synthesis.b4.const"] = source.left["synthesis.b4.const"][0]
    if mean is not None:
        source.left["mapping.w_avg"] = (
            Tensors({"mean": mean}).take("mean").reshape(-1, mean.shape[-1])[0]
        )
    return stylegan2_of(layout, source, MAPPING_LR)


def _rename(name: str) -> str | None:
    """Give a tensor the name that StyleGAN2-ADA's code has for it."""
    if found := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.fc{int(found[1]) - 1}.{found[2]}"
    if name == "input.input":
        return "synthesis.b4.const"
    if found := re.fullmatch(r"noises\.noise_(\d\d?)", name):
        return f"{_convolution(int(found[1]))}.noise_const"
    if found := re.fullmatch(r"conv1\.(.+)", name):
        return f"{_convolution(0)}.{PARTS.get(found[1], found[1])}"
    if found := re.fullmatch(r"convs\.(\d\d?)\.(.+)", name):
        return f"{_convolution(int(found[1]) + 1)}.{PARTS.get(found[2], found[2])}"
    if found := re.fullmatch(r"to_rgb1\.(.+)", name):
        return f"synthesis.b4.torgb.{PARTS.get(found[1], found[1])}"
    if found := re.fullmatch(r"to_rgbs\.(\d\d?)\.(.+)", name):
        return f"synthesis.b{8 << int(found[1])}.torgb.{PARTS.get(found[2], found[2])}"
    return None


def _convolution(index: int) -> str:
    """Name a convolution by its place: 0 is the one at 4 px, then two for each size."""
    return f"synthesis.b{4 << (index + 1) // 2}.conv{(index + 1) % 2}"


def _matches(content: Any) -> bool:
    return has_keys(content, "g_ema") and has_keys(
        content["g_ema"], "input.input", "conv1.conv.weight"
    )


ROSINALITY = Layout("rosinality", _matches, read_rosinality)
