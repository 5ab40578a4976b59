"""Turn StyleGAN's trained variables into our network's weights, whoever named them.

The readers of StyleGAN layouts bring their tensors to one set of names, near to genforce's; here
scales and learning rates are multiplied in.
"""

from dataclasses import asdict

from torch import Tensor

from model_core.checkpoints.foreign.contents import Foreign, Tensors, check_mapping, drawn_noise
from model_core.checkpoints.foreign.stylegan2_weights import MEAN_MISSING, NOISE_MISSING
from model_core.errors import CheckpointError
from model_core.generators.stylegan import StyleGANConfig

FUSED_FROM_PX = 128
"""From this size up the originals upscale by a transposed convolution: it turns kernels round."""

GAIN = 2**0.5
LARGEST = 4096


def stylegan_of(layout: str, source: Tensors, mapping_lr: float) -> Foreign:
    """Make the network of trained variables.

    Args:
        layout: Whose layout it was.
        source: mapping.dense{i}.*, truncation.w_avg, synthesis.lod, synthesis.output{i}.* from
            4 px up and synthesis.layer{i}.{weight,bias,noise,noise_strength,style.weight,
            style.bias}, with synthesis.layer0.const in place of its weight.
        mapping_lr: Learning rate multiplier of the mapping network.

    Raises:
        CheckpointError: If a variable is missing or of another size.
    """
    state: dict[str, Tensor] = {"const": source.take("synthesis.layer0.const")}
    remarks = []
    mapping = source.count("mapping.dense{}.weight")
    for i in range(mapping):
        weight = source.take(f"mapping.dense{i}.weight")
        # The original's activation has no gain; ours has, and divides the next layer by it.
        scale = mapping_lr * weight[0].numel() ** -0.5
        state[f"mapping_network.layers.{i}.weight"] = weight * scale
        bias = source.take(f"mapping.dense{i}.bias")
        state[f"mapping_network.layers.{i}.bias"] = bias * (mapping_lr / GAIN)
    layers = source.count("synthesis.layer{}.bias")
    if layers < 4 or layers % 2 or 2 << layers // 2 > LARGEST:
        raise CheckpointError(f"checkpoint must hold two layers for each size, got {layers}")
    if any(f"synthesis.layer{i}.noise" not in source for i in range(layers)):
        remarks.append(NOISE_MISSING)
    own = drawn_noise(4 << i // 2 for i in range(layers))
    for i in range(layers):
        _layer(state, source, i, own[i])
    sizes = layers // 2
    heads = [i for i in range(sizes) if f"synthesis.output{i}.weight" in source]
    if heads != list(range(sizes - len(heads), sizes)) or not heads:
        raise CheckpointError(f"checkpoint must hold the largest image layers, got {heads}")
    for ours, theirs in enumerate(heads):
        weight = source.take(f"synthesis.output{theirs}.weight")
        state[f"to_img.{ours}.weight"] = weight * weight[0].numel() ** -0.5
        state[f"to_img.{ours}.bias"] = source.take(f"synthesis.output{theirs}.bias")
    lod = float(source.take("synthesis.lod")) if "synthesis.lod" in source else 0.0
    if not 0 <= lod <= len(heads) - 1:
        raise CheckpointError(f"lod must be from 0 to {len(heads) - 1}, got {lod:g}")
    if lod:
        remarks.append(f"training stopped at level of detail {lod:g}: the image is that coarse")
    if "truncation.w_avg" in source:
        state["w_mean"] = source.take("truncation.w_avg")
    else:
        remarks.append(MEAN_MISSING)
    widths = tuple(len(state[f"layers.{2 * i}.bias"]) for i in range(sizes))
    w_dim = int(state["layers.0.affine.weight"].shape[1])
    check_mapping(state, mapping, w_dim)
    config = StyleGANConfig(widths, w_dim, mapping_layers=mapping, heads=len(heads), lod=lod)
    return Foreign(layout, "stylegan", asdict(config), state, remarks)


def _layer(state: dict[str, Tensor], source: Tensors, i: int, own_noise: Tensor) -> None:
    theirs, ours = f"synthesis.layer{i}", f"layers.{i}"
    if i:
        weight = source.take(f"{theirs}.weight")
        weight = weight * (GAIN * weight[0].numel() ** -0.5)
        fused = i % 2 == 0 and 4 << i // 2 >= FUSED_FROM_PX
        state[f"{ours}.weight"] = weight.flip(2, 3) if fused else weight
    state[f"{ours}.bias"] = source.take(f"{theirs}.bias")
    state[f"{ours}.noise_strength"] = source.take(f"{theirs}.noise_strength")
    known = f"{theirs}.noise" in source
    state[f"{ours}.noise"] = source.take(f"{theirs}.noise") if known else own_noise
    style = source.take(f"{theirs}.style.weight")
    state[f"{ours}.affine.weight"] = style * style[0].numel() ** -0.5
    state[f"{ours}.affine.bias"] = source.take(f"{theirs}.style.bias")
