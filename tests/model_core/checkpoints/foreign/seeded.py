"""Weights that anyone can make again: too large to keep, so only what they give is kept."""

import zlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model_core.encoders.style_encoder import StyleEncoder, StyleEncoderConfig

Shapes = Mapping[str, tuple[int, ...]]


def seeded_normals(shapes: Shapes) -> dict[str, Tensor]:
    """Fill a state dict with normals that follow from its names: what equalised layers start as."""
    state = {}
    for name, shape in shapes.items():
        random = np.random.default_rng(zlib.crc32(name.encode()))
        values = random.standard_normal(shape, dtype=np.float32)
        state[name] = torch.from_numpy(np.asarray(values, np.float32))
    return state


def seeded_state(shapes: Shapes) -> dict[str, Tensor]:
    """Fill a state dict by its names: convolutions keep the scale of what they read."""
    state = seeded_normals(shapes)
    for name, values in state.items():
        shape = values.shape
        if name.endswith("running_var"):
            state[name] = 0.5 + values.abs()
        elif len(shape) > 1:
            values *= float((1.5 / np.prod(shape[1:])) ** 0.5)
        elif name.endswith("weight"):  # of normalisations and activations
            state[name] = 0.6 + 0.1 * values
        else:
            values *= 0.1
    return state


def seeded_face(size_px: int = 256) -> Tensor:
    """Return something smooth in [-1, 1] with the shape of one face, (1, 3, size, size)."""
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    waves = [np.sin(7 * x + 3 * y + c) * np.cos(11 * y - 2 * c * x) for c in range(3)]
    return torch.from_numpy(np.stack(waves)[None].astype(np.float32))


def rosinality_shapes(img_px: int, width: int) -> dict[str, tuple[int, ...]]:
    """Name the tensors of rosinality's generator, all of one width, with codes of 512."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(1, 9):
        shapes |= {f"style.{i}.weight": (512, 512), f"style.{i}.bias": (512,)}
    shapes |= {"input.input": (1, width, 4, 4), "noises.noise_0": (1, 1, 4, 4)}
    sizes = [8 << i for i in range((img_px // 4).bit_length() - 1)]
    layers = ["conv1", *(f"convs.{i}" for i in range(2 * len(sizes)))]
    images = ["to_rgb1", *(f"to_rgbs.{i}" for i in range(len(sizes)))]
    for name in layers:
        shapes |= {
            f"{name}.conv.weight": (1, width, width, 3, 3),
            f"{name}.noise.weight": (1,),
            f"{name}.activate.bias": (width,),
        }
    for name in images:
        shapes |= {f"{name}.conv.weight": (1, 3, width, 1, 1), f"{name}.bias": (1, 3, 1, 1)}
    for name in layers + images:
        shapes[f"{name}.conv.modulation.weight"] = (width, 512)
        shapes[f"{name}.conv.modulation.bias"] = (width,)
    for i in range(1, len(layers)):
        px = sizes[(i - 1) // 2]
        shapes[f"noises.noise_{i}"] = (1, 1, px, px)
    return shapes


def rosinality_content(img_px: int, width: int = 8) -> dict[str, Any]:
    """Make a file of rosinality's without a mean code: a generator that renders every seed anew."""
    state = seeded_normals(rosinality_shapes(img_px, width))
    for name in state:
        if name.startswith("style.") and name.endswith("weight"):
            state[name] *= 100  # the layers' learning rate of 0.01 undoes it
    return {"g_ema": state}


def shapes_of(network: nn.Module, leave_out: Collection[str] = ()) -> dict[str, tuple[int, ...]]:
    """Name a network's tensors, without counters and those left out."""
    return {
        name: tuple(value.shape)
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked") and name not in leave_out
    }


def psp_content(config: StyleEncoderConfig, kind: str) -> dict[str, Any]:
    """Make a file as pSp and e4e save it, around a narrow generator."""
    with torch.device("meta"):
        encoder = seeded_state(shapes_of(StyleEncoder(config), leave_out=["mean"]))
    decoder = rosinality_content(2 << config.num_ws // 2)["g_ema"]
    state = {f"encoder.{name}": value for name, value in encoder.items()}
    state |= {f"decoder.{name}": value for name, value in decoder.items()}
    mean = torch.from_numpy(np.random.default_rng(5).standard_normal((config.num_ws, 512)))
    return {"state_dict": state, "opts": {"encoder_type": kind}, "latent_avg": mean.float()}


def thin(shapes: Shapes) -> dict[str, Tensor]:
    """Fill a state dict with zeros that take no memory: for what is decided by names and shapes."""
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


def thin_psp_content(kind: str, img_px: int = 8, rows: int | None = None) -> dict[str, Any]:
    """Make a pSp file with a real narrow generator and an encoder of names and shapes only."""
    num_ws = rows or 2 * (img_px.bit_length() - 2)
    with torch.device("meta"):
        encoder = StyleEncoder(StyleEncoderConfig(num_ws)).state_dict()
    state = {f"encoder.{k}": v for k, v in thin({k: v.shape for k, v in encoder.items()}).items()}
    del state["encoder.mean"]
    state |= {f"decoder.{k}": v for k, v in rosinality_content(img_px)["g_ema"].items()}
    options = {"encoder_type": kind}
    return {"state_dict": state, "opts": options, "latent_avg": torch.zeros(512)}
