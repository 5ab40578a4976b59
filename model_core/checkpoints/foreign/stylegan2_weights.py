"""Convert StyleGAN2's trained variables to our network's weights, for every layout.

The readers of StyleGAN2 layouts translate the tensor names of StyleGAN2-ADA's PyTorch code; this
module multiplies scales and gains into the weights.
"""

from collections.abc import Callable, Sequence
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
from model_core.checkpoints.foreign.tensors import Tensors
from model_core.errors import CheckpointError
from model_core.generators.stylegan2 import StyleGAN2Config

MAX_SIZE_PX = 4096
TAPS = (1, 3, 3, 1)
MEAN_MISSING = "the mean code is missing: it is estimated from the mapping network"
NOISE_MISSING = "the fixed noise maps are missing: they are drawn with seed 0"
FILTERS_MISSING = "the low-pass filters are missing: 1, 3, 3, 1 is assumed"

STYLED = ("weight", "bias", "affine.weight", "affine.bias")
SIZES_PX = tuple(4 << i for i in range(MAX_SIZE_PX.bit_length() - 2))


def stylegan2_of(
    layout: str,
    source: Tensors,
    mapping_lr: float,
    clamp: float = 0.0,
    filters: Callable[[Sequence[int]], list[str]] | None = None,
    use_noise: bool = True,
) -> Foreign:
    """Convert trained variables to a network.

    Args:
        layout: Name of the file's layout.
        source: mapping.fc{i}.*, mapping.w_avg, synthesis.b{size}.{const,conv0.*,conv1.*,torgb.*}.
        mapping_lr: Learning rate multiplier of the mapping network.
        clamp: Bound of the features, 0 for none.
        filters: Our names of the file's low-pass filters, by size; None if it has none.
        use_noise: Whether the network adds noise.

    Raises:
        CheckpointError: If a variable is missing, of the wrong size or left over, or the network
            has class labels or another architecture.
    """
    sizes = _sizes(source)
    convolutions = [f"synthesis.b{px}.{part}" for px in sizes for part in ("conv0", "conv1")][1:]
    images = [f"synthesis.b{px}.torgb" for px in sizes]
    layers = source.count("mapping.fc{}", (".weight", ".bias"))
    source.require(_needed(layers, convolutions, images, use_noise))
    _check_shapes(source, convolutions, images)
    w_dim = source.shape(f"{convolutions[0]}.affine.weight")[1]
    check_mapping(source, "mapping.fc{}.weight", layers, w_dim)

    foreign = Foreign(layout, "stylegan2", {}, {})
    state, remarks = foreign.state, foreign.remarks
    if filters:
        if source.all_or_none(filters(sizes)):
            for name in filters(sizes):
                check_filter(source.spelling(name), source.take(name), TAPS)
        else:
            remarks.append(FILTERS_MISSING)
    for i in range(layers):
        _note(foreign, source, f"mapping_network.layers.{i}", f"mapping.fc{i}", "weight", "bias")
        weight = source.take(f"mapping.fc{i}.weight")
        state[f"mapping_network.layers.{i}.weight"] = weight * (
            mapping_lr * weight[0].numel() ** -0.5
        )
        state[f"mapping_network.layers.{i}.bias"] = source.take(f"mapping.fc{i}.bias") * mapping_lr
    state["const"] = source.take("synthesis.b4.const")
    noise = _noise(source, convolutions, use_noise, remarks)
    for i, name in enumerate(convolutions):
        _layer(foreign, source, f"layers.{i}", name, use_noise)
        state[f"layers.{i}.noise"] = noise[i].reshape(1, 1, *noise[i].shape[-2:])
    for i, name in enumerate(images):
        _note(foreign, source, f"to_img.{i}", name, *STYLED[2:])
        _note(foreign, source, f"to_img.{i}.conv", name, *STYLED[:2])
        weight = _convolution(state, f"to_img.{i}", source, name)
        state[f"to_img.{i}.conv.weight"] = weight * weight[0].numel() ** -0.5
        state[f"to_img.{i}.conv.bias"] = source.take(f"{name}.bias").flatten()
    if "mapping.w_avg" in source:
        state["w_mean"] = source.take("mapping.w_avg")
    else:
        remarks.append(MEAN_MISSING)
    remarks += source.finish("a StyleGAN2 generator")
    widths = tuple(len(state[f"to_img.{i}.affine.weight"]) for i in range(len(sizes)))
    foreign.config = asdict(StyleGAN2Config(widths, w_dim, mapping_layers=layers, clamp=clamp))
    return foreign


def _needed(layers: int, convolutions: list[str], images: list[str], use_noise: bool) -> list[str]:
    """Return the names of the variables without which there is no network."""
    names = [f"mapping.fc{i}.{end}" for i in range(max(layers, 1)) for end in ("weight", "bias")]
    names += ["synthesis.b4.const"]
    names += [f"{name}.{part}" for name in convolutions + images for part in STYLED]
    return names + ([f"{name}.noise_strength" for name in convolutions] if use_noise else [])


def _layer(foreign: Foreign, source: Tensors, ours: str, theirs: str, use_noise: bool) -> None:
    state = foreign.state
    _note(foreign, source, ours, theirs, *STYLED, "noise_strength")
    foreign.origins[f"{ours}.noise"] = source.spelling(f"{theirs}.noise_const")
    weight = _convolution(state, ours, source, theirs)
    state[f"{ours}.weight"] = weight * weight[0].numel() ** -0.5
    state[f"{ours}.bias"] = source.take(f"{theirs}.bias")
    strength = source.take(f"{theirs}.noise_strength") if use_noise else torch.zeros(())
    state[f"{ours}.noise_strength"] = strength.reshape(())


def _sizes(source: Tensors) -> list[int]:
    """Return the sizes from 4 px to the largest one with a tensor."""
    parts = [
        f"{layer}.{part}"
        for layer in ("conv0", "conv1", "torgb")
        for part in (*STYLED, "noise_strength", "noise_const")
    ]
    found = [px for px in SIZES_PX if any(f"synthesis.b{px}.{part}" in source for part in parts)]
    return [px for px in SIZES_PX if px <= max(found, default=4)]


def _check_shapes(source: Tensors, convolutions: list[str], images: list[str]) -> None:
    """Refuse shapes of other kinds of network; the message says which."""
    check_constant(source.spelling("synthesis.b4.const"), source.shape("synthesis.b4.const"))
    for name in convolutions + images:
        for part, axes in (("weight", 4), ("affine.weight", 2)):
            shape = source.shape(f"{name}.{part}")
            if len(shape) != axes or not all(shape):
                theirs = source.spelling(f"{name}.{part}")
                raise CheckpointError(f"{theirs} must have {axes} axes, got the shape {shape}")
    for name in convolutions:
        expect(
            f"kernel of {source.spelling(f'{name}.weight')}",
            source.shape(f"{name}.weight")[2:],
            (3, 3),
        )
    for name in images:
        shape = source.shape(f"{name}.weight")
        check_image(source.spelling(f"{name}.weight"), shape[0])
        expect(f"kernel of {source.spelling(f'{name}.weight')}", shape[2:], (1, 1))


def _noise(
    source: Tensors, convolutions: list[str], use_noise: bool, remarks: list[str]
) -> list[Tensor]:
    """Take the noise maps, or draw them if the file has none."""
    own = drawn_noise(4 << (i + 1) // 2 for i in range(len(convolutions)))
    if not use_noise:
        remarks.append("the network adds no noise: its strength is zero")
        return [torch.zeros_like(each) for each in own]
    names = [f"{name}.noise_const" for name in convolutions]
    if source.all_or_none(names):
        return [source.take(name) for name in names]
    remarks.append(NOISE_MISSING)
    return own


def _note(foreign: Foreign, source: Tensors, ours: str, name: str, *ends: str) -> None:
    """Record the file's names of some of our tensors."""
    for end in ends:
        foreign.origins[f"{ours}.{end}"] = source.spelling(f"{name}.{end}")


def _convolution(state: dict[str, Tensor], ours: str, source: Tensors, theirs: str) -> Tensor:
    """Add a modulation to the state and return the convolution's unscaled weight."""
    affine = source.take(f"{theirs}.affine.weight")
    state[f"{ours}.affine.weight"] = affine * affine[0].numel() ** -0.5
    state[f"{ours}.affine.bias"] = source.take(f"{theirs}.affine.bias")
    return source.take(f"{theirs}.weight")
