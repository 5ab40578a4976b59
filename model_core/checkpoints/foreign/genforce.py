"""StyleGAN and StyleGAN2 of genforce, InterFaceGAN and idinvert, .pth; lernapparat's StyleGAN, .pt.

Source: models/stylegan_generator*.py and stylegan2_generator.py of genforce/genforce, interfacegan
and idinvert_pytorch (MIT), for the names.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from model_core.checkpoints.foreign.checks import spread_remark
from model_core.checkpoints.foreign.contents import Foreign, Found, Layout
from model_core.checkpoints.foreign.stylegan2_weights import stylegan2_of
from model_core.checkpoints.foreign.stylegan_weights import (
    FUSED_FROM_PX,
    fused_from_128,
    stylegan_of,
)
from model_core.checkpoints.foreign.tensors import Tensors

MAPPING_LR = 0.01
"""The projects' default settings; the files do not record them."""

ASSUMED = (
    "the file does not record final_tanh or mapping_lr_mul: no final tanh and 0.01 are assumed"
)
FUSED_ASSUMED = (
    "the file does not record fused_scale: `auto` is assumed (transposed convolutions from 128 px)"
)

NEW = {
    "const": "const",
    "weight": "weight",
    "bias": "bias",
    "noise": "apply_noise.noise",
    "noise_strength": "apply_noise.weight",
    "style.weight": "style.weight",
    "style.bias": "style.bias",
    "filter": "blur.kernel",
}
"""Maps our names of a layer's tensors to genforce's."""


def _old(linear: str, const: str) -> dict[str, str]:
    return {
        "const": const,
        "weight": "conv.weight",
        "bias": "epilogue.bias",
        "noise": "epilogue.apply_noise.noise",
        "noise_strength": "epilogue.apply_noise.weight",
        "style.weight": f"epilogue.style_mod.dense.{linear}.weight",
        "style.bias": "epilogue.style_mod.dense.wscale.bias",
        "filter": "blur.kernel",
    }


OLD = {"linear": _old("linear", "first_layer"), "fc": _old("fc", "const")}
"""Map the same names to InterFaceGAN's and idinvert's, given their name of linear layers."""

NAMES = re.compile(
    r"mapping\.dense\d+\.(?:weight|bias|(?:linear|fc)\.weight|wscale\.bias)|mapping\.label_weight"
    r"|truncation\.(?:w_avg|truncation)|synthesis\.lod|synthesis\.output\d+\.(?:conv\.)?(?:weight|bias)"
    r"|synthesis\.layer\d+\.(?:const|first_layer|(?:conv\.)?weight|bias|blur\.kernel"
    r"|apply_noise\.(?:noise|weight)|style\.(?:weight|bias)"
    r"|epilogue\.(?:bias|apply_noise\.(?:noise|weight)"
    r"|style_mod\.dense\.(?:(?:linear|fc)\.weight|wscale\.bias)))"
)
MARKER = re.compile(r"synthesis\.layer\d+\.(?:apply_noise|epilogue)\..+")


def read_genforce(found: Found) -> Foreign:
    """Read a StyleGAN of any of the three projects."""
    names = found.state.keys()
    old = next((kind for kind in OLD if any(f".{kind}.weight" in name for name in names)), None)
    fused = {
        int(hit[1])
        for name in names
        if (hit := re.fullmatch(r"synthesis\.layer(\d+)\.weight", name)) and old
    }
    fused |= {  # a missing kernel has the default's name
        i
        for i in range(10, 18, 2)
        if old and f"synthesis.layer{i}.conv.weight" not in names and 4 << i // 2 >= FUSED_FROM_PX
    }
    source = Tensors(found.state, _speller(old, fused), _turner(fused))
    source.drop(r"truncation\.truncation")  # strengths that the projects apply themselves
    source.require(["truncation.w_avg", "synthesis.lod", "mapping.dense0.weight"])
    warning = spread_remark(source, "mapping.dense0.weight", MAPPING_LR)
    choose: Callable[[int, int], bool] = (lambda i, _: i in fused) if old else fused_from_128
    foreign = stylegan_of("genforce", source, MAPPING_LR, choose)
    foreign.remarks += [ASSUMED, *([] if old else [FUSED_ASSUMED]), *warning]
    return foreign


def _speller(old: str | None, fused: set[int]) -> Callable[[str], str]:
    parts = OLD[old] if old else NEW
    dense = {"weight": f"{old}.weight", "bias": "wscale.bias"} if old else {}

    def spell(name: str) -> str:
        if hit := re.fullmatch(r"(mapping\.dense\d+)\.(weight|bias)", name):
            return f"{hit[1]}.{dense.get(hit[2], hit[2])}"
        if hit := re.fullmatch(r"(synthesis\.output\d+)\.weight", name):
            return f"{hit[1]}.{'conv.weight' if old else 'weight'}"
        if hit := re.fullmatch(r"(synthesis\.layer(\d+))\.(.+)", name):
            # The older projects name a kernel after the operation that uses it.
            end = "weight" if hit[3] == "weight" and int(hit[2]) in fused else parts[hit[3]]
            return f"{hit[1]}.{end}"
        return name

    return spell


def _turner(fused: set[int]) -> Callable[[str, Tensor], Tensor]:
    """Convert fused kernels, which keep TensorFlow's axes (height, width, inputs, outputs)."""
    names = {f"synthesis.layer{i}.weight" for i in fused}

    def turn(name: str, value: Tensor) -> Tensor:
        return value.permute(3, 2, 0, 1) if name in names and value.ndim == 4 else value

    return turn


GENFORCE = Layout("genforce", NAMES, read_genforce, marker=MARKER)

NAMES_2 = re.compile(
    r"mapping\.dense\d+\.(?:weight|bias)|mapping\.label_weight|truncation\.w_avg"
    r"|synthesis\.early_layer\.(?:const|weight|bias)|synthesis\.upsample\.kernel"
    r"|synthesis\.(?:layer|output)\d+\."
    r"(?:weight|bias|style\.weight|style\.bias|noise|noise_strength|filter\.kernel)"
)
MARKER_2 = re.compile(r"synthesis\.(?:early_layer\..+|output\d+\.style\..+)")


def read_genforce_stylegan2(found: Found) -> Foreign:
    """Read genforce's StyleGAN2."""
    source = Tensors(found.state, spell_genforce_stylegan2, _turned_stylegan2)
    source.require(["mapping.w_avg", "mapping.fc0.weight"])
    warning = spread_remark(source, "mapping.fc0.weight", MAPPING_LR)
    foreign = stylegan2_of("genforce-stylegan2", source, MAPPING_LR, filters=_filters)
    foreign.remarks += [ASSUMED, *warning]
    return foreign


def spell_genforce_stylegan2(name: str) -> str:
    """Translate a StyleGAN2-ADA name to genforce's."""
    if hit := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", name):
        return f"mapping.dense{hit[1]}.{hit[2]}"
    if name in SINGLE:
        return SINGLE[name]
    hit = re.fullmatch(r"synthesis\.b(\d+)\.(conv0|conv1|torgb)\.(.+)", name)
    if not hit:
        return name
    stage = int(hit[1]).bit_length() - 3  # 0 at 4 px
    index = f"output{stage}" if hit[2] == "torgb" else f"layer{2 * stage - (hit[2] == 'conv0')}"
    end = {
        "affine.weight": "style.weight",
        "affine.bias": "style.bias",
        "noise_const": "noise",
        "resample_filter": "filter.kernel",
    }.get(hit[3], hit[3])
    return f"synthesis.{index}.{end}"


SINGLE = {
    "mapping.w_avg": "truncation.w_avg",
    "synthesis.b4.const": "synthesis.early_layer.const",
    "synthesis.resample_filter": "synthesis.upsample.kernel",
}


def _turned_stylegan2(name: str, value: Tensor) -> Tensor:
    """Add the 1 that the project adds to feature scales at run time."""
    return value + 1 if name.endswith(".affine.bias") else value


def _filters(sizes: Sequence[int]) -> list[str]:
    names = [f"synthesis.b{px}.conv0.resample_filter" for px in sizes[1:]]
    return [*names, "synthesis.resample_filter"]


GENFORCE_STYLEGAN2 = Layout("genforce-stylegan2", NAMES_2, read_genforce_stylegan2, marker=MARKER_2)


def read_lernapparat(found: Found) -> Foreign:
    """Read lernapparat's StyleGAN, .pt, which stores neither the mean code nor noise."""
    largest = _largest_block(found.state)
    source = Tensors(found.state, lambda name: spell_lernapparat(name, largest))
    source.require(["mapping.dense0.weight"])
    warning = spread_remark(source, "mapping.dense0.weight", MAPPING_LR)
    foreign = stylegan_of("lernapparat", source, MAPPING_LR)
    foreign.remarks += warning
    return foreign


LERNAPPARAT_NAMES = re.compile(
    r"g_mapping\.dense\d+\.(?:weight|bias)|g_synthesis\.torgb\.(?:weight|bias)"
    r"|g_synthesis\.blocks\.\d+x\d+\.(?:const|bias|(?:conv|conv0_up|conv1)\.(?:weight|bias)"
    r"|conv0_up\.intermediate\.kernel"
    r"|epi[12]\.(?:top_epi\.noise\.weight|style_mod\.lin\.(?:weight|bias)))"
)
BLOCK = re.compile(r"g_synthesis\.blocks\.(\d+)x\d+\..+")


def _largest_block(state: Mapping[str, Any]) -> int:
    """Return the index of the largest block; 0 is 4 px."""
    sizes = [int(hit[1][:6]) for name in state if (hit := BLOCK.fullmatch(name))]
    return max(max(sizes, default=4).bit_length() - 3, 0)


def spell_lernapparat(name: str, largest: int) -> str:
    """Translate our name to the project's, whose only image layer is that of the largest size."""
    if hit := re.fullmatch(r"mapping\.(dense\d+\.\w+)", name):
        return f"g_mapping.{hit[1]}"
    if hit := re.fullmatch(r"synthesis\.output(\d+)\.(\w+)", name):
        return f"g_synthesis.torgb.{hit[2]}" if int(hit[1]) == largest else name
    hit = re.fullmatch(r"synthesis\.layer(\d+)\.(.+)", name)
    if not hit:
        return name
    stage, second = divmod(int(hit[1]), 2)
    layer = ("conv1" if stage else "conv") if second else "conv0_up"
    first = stage == second == 0
    end = {
        "const": "const",
        "weight": f"{layer}.weight",
        "bias": "bias" if first else f"{layer}.bias",
        "filter": f"{layer}.intermediate.kernel",
        "noise_strength": f"epi{second + 1}.top_epi.noise.weight",
        "style.weight": f"epi{second + 1}.style_mod.lin.weight",
        "style.bias": f"epi{second + 1}.style_mod.lin.bias",
    }.get(hit[2], hit[2])
    return f"g_synthesis.blocks.{4 << stage}x{4 << stage}.{end}"


LERNAPPARAT = Layout("lernapparat", LERNAPPARAT_NAMES, read_lernapparat)
