"""StyleGAN as genforce's three projects save it, .pth: genforce, InterFaceGAN and idinvert.

Source: models/stylegan_generator*.py of genforce/genforce, interfacegan and idinvert_pytorch (MIT),
for the names.
"""

import re
from typing import Any

from torch import Tensor

from model_core.checkpoints.foreign.contents import Foreign, Layout, Tensors, has_keys
from model_core.checkpoints.foreign.stylegan_weights import stylegan_of
from model_core.errors import CheckpointError

MAPPING_LR = 0.01
"""The projects' generators are always made with it; the files do not say."""

PARTS = {
    "first_layer": "const",
    "conv.weight": "weight",
    "apply_noise.noise": "noise",
    "apply_noise.weight": "noise_strength",
    "epilogue.bias": "bias",
    "epilogue.apply_noise.noise": "noise",
    "epilogue.apply_noise.weight": "noise_strength",
    "epilogue.style_mod.dense.linear.weight": "style.weight",
    "epilogue.style_mod.dense.fc.weight": "style.weight",
    "epilogue.style_mod.dense.wscale.bias": "style.bias",
    "linear.weight": "weight",
    "fc.weight": "weight",
    "wscale.bias": "bias",
}


def read_genforce(content: Any) -> Foreign:
    """Read the averaged generator, or the only one."""
    state = content.get("generator_smooth", content)
    source = Tensors(state).rename(_rename)
    source.refuse(["label_weight"], "a generator with class labels is not covered")
    for name, value in source.left.items():
        source.left[name] = _turned(value)
    last = source.left.get(f"mapping.dense{source.count('mapping.dense{}.weight') - 1}.weight")
    rows = source.left["synthesis.layer0.style.weight"].shape[1]
    if last is not None and len(last) != rows:
        raise CheckpointError(
            f"mapping must end in one row of {rows}, got {len(last)}: a network that maps to every "
            "row at once is not covered"
        )
    return stylegan_of("genforce", source, MAPPING_LR)


def _rename(name: str) -> str | None:
    """Bring the three projects' names to one."""
    found = re.fullmatch(r"(mapping\.dense\d+|synthesis\.(?:layer|output)\d+)\.(.+)", name)
    if found:
        return f"{found[1]}.{PARTS.get(found[2], found[2])}"
    return name if name in ("truncation.w_avg", "synthesis.lod", "mapping.label_weight") else None


def _turned(value: Tensor) -> Tensor:
    """Bring a kernel that kept TensorFlow's axes (height, width, inputs, outputs) into torch's."""
    tensorflow = value.ndim == 4 and value.shape[:2] == (3, 3) and value.shape[2:] != (3, 3)
    return value.permute(3, 2, 0, 1) if tensorflow else value


def _matches(content: Any) -> bool:
    state = content.get("generator_smooth", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or "truncation.w_avg" not in state:
        return False
    return any(f"synthesis.layer0.{name}" in state for name in ("const", "first_layer"))


GENFORCE = Layout("genforce", _matches, read_genforce)


def read_lernapparat(content: Any) -> Foreign:
    """Read lernapparat's StyleGAN, .pt, which keeps neither mean code nor noise."""
    source = Tensors(content).rename(_rename_lernapparat)
    layers = source.count("synthesis.layer{}.bias")
    for part in ("weight", "bias"):  # its only image layer is that of the largest size
        source.left[f"synthesis.output{layers // 2 - 1}.{part}"] = source.left.pop(f"torgb.{part}")
    return stylegan_of("lernapparat", source, MAPPING_LR)


LERNAPPARAT_PARTS = {
    "const": (0, "const"),
    "bias": (0, "bias"),
    "conv.weight": (1, "weight"),
    "conv.bias": (1, "bias"),
    "conv0_up.weight": (0, "weight"),
    "conv0_up.bias": (0, "bias"),
    "conv1.weight": (1, "weight"),
    "conv1.bias": (1, "bias"),
    **{
        f"epi{i + 1}.{theirs}": (i, ours)
        for i in (0, 1)
        for theirs, ours in {
            "top_epi.noise.weight": "noise_strength",
            "style_mod.lin.weight": "style.weight",
            "style_mod.lin.bias": "style.bias",
        }.items()
    },
}
"""Name in a block of one size: which of its two layers, and the name there."""


def _rename_lernapparat(name: str) -> str | None:
    if found := re.fullmatch(r"g_mapping\.(dense\d+\.\w+)", name):
        return f"mapping.{found[1]}"
    if found := re.fullmatch(r"g_synthesis\.(torgb\.\w+)", name):
        return found[1]
    found = re.fullmatch(r"g_synthesis\.blocks\.(\d+)x\d+\.(.+)", name)
    if not found or found[2] not in LERNAPPARAT_PARTS:
        return None
    which, part = LERNAPPARAT_PARTS[found[2]]
    return f"synthesis.layer{2 * (int(found[1]).bit_length() - 3) + which}.{part}"


LERNAPPARAT = Layout(
    "lernapparat",
    lambda content: has_keys(content, "g_synthesis.blocks.4x4.const", "g_mapping.dense0.weight"),
    read_lernapparat,
)
