"""Turn StyleGAN2's trained variables into our network's weights, whoever named them.

The readers of StyleGAN2 layouts bring their tensors to the names that StyleGAN2-ADA's PyTorch code
gives them; here scales and gains are multiplied in.
"""

from dataclasses import asdict

import torch
from torch import Tensor

from model_core.checkpoints.foreign.contents import Foreign, Tensors, check_mapping, drawn_noise
from model_core.errors import CheckpointError
from model_core.generators.stylegan2 import StyleGAN2Config

MAX_SIZE_PX = 4096
MEAN_MISSING = "the mean code is missing: it is estimated from the mapping network"
NOISE_MISSING = "the fixed noise maps are missing: they are drawn from seed 0"


def stylegan2_of(layout: str, source: Tensors, mapping_lr: float, clamp: float = 0.0) -> Foreign:
    """Make the network of trained variables.

    Args:
        layout: Whose layout it was.
        source: mapping.fc{i}.*, mapping.w_avg, synthesis.b{size}.{const,conv0.*,conv1.*,torgb.*}.
        mapping_lr: Learning rate multiplier of the mapping network.
        clamp: Bound of the features, 0 for none.

    Raises:
        CheckpointError: If a variable is missing or of another size, or the network has class
            labels or another architecture.
    """
    source.refuse(["mapping.embed"], "a generator with class labels is not covered")
    source.refuse([".skip."], "the residual architecture is not covered, only the skip one")
    _check_filters(source)
    state: dict[str, Tensor] = {}
    remarks = []
    layers = source.count("mapping.fc{}.weight")
    for i in range(layers):
        weight = source.take(f"mapping.fc{i}.weight")
        state[f"mapping_network.layers.{i}.weight"] = weight * (
            mapping_lr * weight[0].numel() ** -0.5
        )
        state[f"mapping_network.layers.{i}.bias"] = source.take(f"mapping.fc{i}.bias") * mapping_lr
    state["const"] = source.take("synthesis.b4.const").unsqueeze(0)
    sizes = _sizes(source)
    convolutions = [f"synthesis.b{px}.{part}" for px in sizes for part in ("conv0", "conv1")][1:]
    if any(f"{name}.noise_const" not in source for name in convolutions):
        remarks.append(NOISE_MISSING)
    own = drawn_noise(4 << (i + 1) // 2 for i in range(len(convolutions)))
    for i, name in enumerate(convolutions):
        weight = _convolution(state, f"layers.{i}", source, name)
        state[f"layers.{i}.weight"] = weight * weight[0].numel() ** -0.5
        state[f"layers.{i}.bias"] = source.take(f"{name}.bias")
        state[f"layers.{i}.noise_strength"] = source.take(f"{name}.noise_strength").reshape(())
        known = f"{name}.noise_const" in source
        noise = source.take(f"{name}.noise_const") if known else own[i]
        state[f"layers.{i}.noise"] = noise.reshape(1, 1, *noise.shape[-2:])
    for i, px in enumerate(sizes):
        weight = _convolution(state, f"to_img.{i}", source, f"synthesis.b{px}.torgb")
        state[f"to_img.{i}.conv.weight"] = weight * weight[0].numel() ** -0.5
        state[f"to_img.{i}.conv.bias"] = source.take(f"synthesis.b{px}.torgb.bias").flatten()
    if "mapping.w_avg" in source:
        state["w_mean"] = source.take("mapping.w_avg")
    else:
        remarks.append(MEAN_MISSING)
    widths = tuple(len(state[f"to_img.{i}.affine.weight"]) for i in range(len(sizes)))
    w_dim = int(state["layers.0.affine.weight"].shape[1])
    check_mapping(state, layers, w_dim)
    config = StyleGAN2Config(widths, w_dim, mapping_layers=layers, clamp=clamp)
    return Foreign(layout, "stylegan2", asdict(config), state, remarks)


def _sizes(source: Tensors) -> list[int]:
    """Return the sizes that have an image layer, from 4 px up."""
    sizes, px = [], 4
    while f"synthesis.b{px}.torgb.weight" in source and px <= MAX_SIZE_PX:
        sizes.append(px)
        px *= 2
    if not sizes:
        raise CheckpointError("checkpoint must hold an image layer at 4 px, got none")
    return sizes


def _convolution(state: dict[str, Tensor], ours: str, source: Tensors, theirs: str) -> Tensor:
    """Put a modulation into the state and return the convolution's weight, unscaled."""
    affine = source.take(f"{theirs}.affine.weight")
    state[f"{ours}.affine.weight"] = affine * affine[0].numel() ** -0.5
    state[f"{ours}.affine.bias"] = source.take(f"{theirs}.affine.bias")
    return source.take(f"{theirs}.weight")


def _check_filters(source: Tensors) -> None:
    """Refuse low-pass filters other than the usual one."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    usual = torch.outer(row, row)
    for name in [name for name in source.left if name.endswith("resample_filter")]:
        taps = source.take(name)
        square = torch.outer(taps, taps) if taps.ndim == 1 else taps
        if square.shape != usual.shape or not torch.allclose(
            square / square.sum(), usual, atol=1e-4
        ):
            raise CheckpointError(f"{name} must be the filter of 1, 3, 3, 1, got another")
