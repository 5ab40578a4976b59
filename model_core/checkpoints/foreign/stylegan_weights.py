"""Convert StyleGAN's trained variables to our network's weights, for every layout.

The readers of StyleGAN layouts translate one set of names, close to genforce's; this module
multiplies scales and learning rates into the weights.
"""

from collections.abc import Callable
from dataclasses import asdict

import torch
from torch import Tensor

from model_core.checkpoints.foreign.checks import (
    check_constant,
    check_filter,
    check_image,
    check_mapping,
    drawn_noise,
    expect,
)
from model_core.checkpoints.foreign.contents import Foreign
from model_core.checkpoints.foreign.stylegan2_weights import (
    FILTERS_MISSING,
    MEAN_MISSING,
    NOISE_MISSING,
)
from model_core.checkpoints.foreign.tensors import Tensors
from model_core.errors import CheckpointError
from model_core.generators.stylegan import BLUR_TAPS, StyleGANConfig

FUSED_FROM_PX = 128
"""From this size up the originals upscale by a transposed convolution by default, which flips
kernels."""

GAIN = 2**0.5
LARGEST = 4096
PARTS = ("bias", "noise_strength", "style.weight", "style.bias")


def fused_from_128(_: int, size_px: int) -> bool:
    """Return whether a layer upscales by a transposed convolution by default."""
    return size_px >= FUSED_FROM_PX


def stylegan_of(
    layout: str,
    source: Tensors,
    mapping_lr: float,
    fused: Callable[[int, int], bool] = fused_from_128,
    filters: bool = True,
    use_noise: bool = True,
) -> Foreign:
    """Convert trained variables to a network.

    Args:
        layout: Name of the file's layout.
        source: mapping.dense{i}.*, truncation.w_avg, synthesis.lod, synthesis.output{i}.* from
            4 px up and synthesis.layer{i}.{weight,bias,noise,noise_strength,style.weight,
            style.bias,filter}, with synthesis.layer0.const in place of its weight.
        mapping_lr: Learning rate multiplier of the mapping network.
        fused: Whether an upscaling layer, given its number and size, is a transposed convolution.
        filters: Whether files of the layout contain their low-pass filters.
        use_noise: Whether the network adds noise.

    Raises:
        CheckpointError: If a variable is missing, of the wrong size or left over.
    """
    layers = source.count("synthesis.layer{}.", (*PARTS, "weight", "noise", "const"))
    layers += layers % 2  # two per size: the missing one will be named in the error
    if 2 << layers // 2 > LARGEST:
        raise CheckpointError(f"image must have at most {LARGEST} px, got {2 << layers // 2}")
    sizes = max(layers // 2, 1)
    mapping = source.count("mapping.dense{}", (".weight", ".bias"))
    heads = [
        i
        for i in range(sizes)
        if any(f"synthesis.output{i}.{part}" in source for part in ("weight", "bias"))
    ]
    heads = list(range(min(heads, default=sizes - 1), sizes))
    source.require(_needed(mapping, 2 * sizes, heads, use_noise))
    _check_shapes(source, 2 * sizes, heads)
    w_dim = source.shape("synthesis.layer0.style.weight")[1]
    check_mapping(source, "mapping.dense{}.weight", mapping, w_dim)

    foreign = Foreign(layout, "stylegan", {}, {"const": source.take("synthesis.layer0.const")})
    state, remarks = foreign.state, foreign.remarks
    if filters:
        _check_filters(source, 2 * sizes, remarks)
    for i in range(mapping):
        weight = source.take(f"mapping.dense{i}.weight")
        # The original's activation has no gain; ours has one, so divide the next layer by it.
        scale = mapping_lr * weight[0].numel() ** -0.5
        state[f"mapping_network.layers.{i}.weight"] = weight * scale
        bias = source.take(f"mapping.dense{i}.bias")
        state[f"mapping_network.layers.{i}.bias"] = bias * (mapping_lr / GAIN)
    noise = _noise(source, 2 * sizes, use_noise, remarks)
    for i in range(2 * sizes):
        _layer(foreign, source, i, fused, use_noise)
        state[f"layers.{i}.noise"] = noise[i]
    for ours, theirs in enumerate(heads):
        _head(foreign, source, f"to_img.{ours}", f"synthesis.output{theirs}")
    lod = float(source.take("synthesis.lod")) if "synthesis.lod" in source else 0.0
    if not 0 <= lod <= len(heads) - 1:
        raise CheckpointError(f"lod must be from 0 to {len(heads) - 1}, got {lod:g}")
    if lod:
        remarks.append(f"training stopped at level of detail {lod:g}: the image is that coarse")
    if "truncation.w_avg" in source:
        state["w_mean"] = source.take("truncation.w_avg")
    else:
        remarks.append(MEAN_MISSING)
    remarks += source.finish("a StyleGAN generator")
    widths = tuple(len(state[f"layers.{2 * i}.bias"]) for i in range(sizes))
    foreign.config = asdict(
        StyleGANConfig(widths, w_dim, mapping_layers=mapping, heads=len(heads), lod=lod)
    )
    return foreign


def _needed(mapping: int, layers: int, heads: list[int], use_noise: bool) -> list[str]:
    """Return the names of the variables without which there is no network."""
    ends = ("weight", "bias")
    names = [f"mapping.dense{i}.{end}" for i in range(max(mapping, 1)) for end in ends]
    names += ["synthesis.layer0.const"]
    names += [f"synthesis.layer{i}.weight" for i in range(1, layers)]
    parts = [part for part in PARTS if use_noise or part != "noise_strength"]
    names += [f"synthesis.layer{i}.{part}" for i in range(layers) for part in parts]
    return names + [f"synthesis.output{i}.{end}" for i in heads for end in ends]


def _check_filters(source: Tensors, layers: int, remarks: list[str]) -> None:
    """Refuse low-pass filters other than ours; remark on a file that has none."""
    names = [f"synthesis.layer{i}.filter" for i in range(2, layers, 2)]
    if source.all_or_none(names):
        for name in names:
            check_filter(source.spelling(name), source.take(name), BLUR_TAPS)
    else:
        remarks.append(FILTERS_MISSING.replace("1, 3, 3, 1", "1, 2, 1"))


def _head(foreign: Foreign, source: Tensors, ours: str, theirs: str) -> None:
    weight = source.take(f"{theirs}.weight")
    foreign.state[f"{ours}.weight"] = weight * weight[0].numel() ** -0.5
    foreign.state[f"{ours}.bias"] = source.take(f"{theirs}.bias")
    for end in ("weight", "bias"):
        foreign.origins[f"{ours}.{end}"] = source.spelling(f"{theirs}.{end}")


def _check_shapes(source: Tensors, layers: int, heads: list[int]) -> None:
    """Refuse shapes of other kinds of network; the message says which."""
    const = "synthesis.layer0.const"
    check_constant(source.spelling(const), source.shape(const))
    axes = {f"synthesis.layer{i}.weight": 4 for i in range(1, layers)}
    axes |= {f"synthesis.layer{i}.style.weight": 2 for i in range(layers)}
    axes |= {f"synthesis.output{i}.weight": 4 for i in heads}
    for name, count in axes.items():
        shape, theirs = source.shape(name), source.spelling(name)
        if len(shape) != count or not all(shape):
            raise CheckpointError(f"{theirs} must have {count} axes, got the shape {shape}")
        if count == 4:
            expect(f"kernel of {theirs}", shape[2:], (1, 1) if "output" in name else (3, 3))
        if "output" in name:
            check_image(theirs, shape[0])


def _noise(source: Tensors, layers: int, use_noise: bool, remarks: list[str]) -> list[Tensor]:
    """Take the noise maps, or draw them if the file has none."""
    own = drawn_noise(4 << i // 2 for i in range(layers))
    if not use_noise:
        remarks.append("the network adds no noise: its strength is zero")
        return [torch.zeros_like(each) for each in own]
    names = [f"synthesis.layer{i}.noise" for i in range(layers)]
    if source.all_or_none(names):
        return [source.take(name) for name in names]
    remarks.append(NOISE_MISSING)
    return own


def _layer(
    foreign: Foreign,
    source: Tensors,
    i: int,
    fused: Callable[[int, int], bool],
    use_noise: bool,
) -> None:
    theirs, ours, state = f"synthesis.layer{i}", f"layers.{i}", foreign.state
    if i:
        weight = source.take(f"{theirs}.weight")
        weight = weight * (GAIN * weight[0].numel() ** -0.5)
        turned = i % 2 == 0 and fused(i, 4 << i // 2)
        state[f"{ours}.weight"] = weight.flip(2, 3) if turned else weight
    state[f"{ours}.bias"] = source.take(f"{theirs}.bias")
    strength = source.take(f"{theirs}.noise_strength") if use_noise else None
    state[f"{ours}.noise_strength"] = (
        torch.zeros_like(state[f"{ours}.bias"]) if strength is None else strength
    )
    style = source.take(f"{theirs}.style.weight")
    state[f"{ours}.affine.weight"] = style * style[0].numel() ** -0.5
    state[f"{ours}.affine.bias"] = source.take(f"{theirs}.style.bias")
    for end, spelt in (("affine.weight", "style.weight"), ("affine.bias", "style.bias")):
        foreign.origins[f"{ours}.{end}"] = source.spelling(f"{theirs}.{spelt}")
    for end in ("weight", "bias", "noise_strength", "noise"):
        foreign.origins[f"{ours}.{end}"] = source.spelling(f"{theirs}.{end}")
