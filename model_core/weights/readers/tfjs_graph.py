"""Reader of the constants of tfjs graph models, and of FaceRes's layout in them.

Only the constants are read; the graph's meaning is written once in encoders/faceres.py.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model_core.encoders.faceres import WIDTHS, FaceRes, FaceResHeads
from model_core.errors import CheckpointError

_MAX_FILE_BYTES = 50_000_000
_STORED = {("float32", "float16"): "<f2", ("float32", None): "<f4", ("int32", None): "<i4"}
"""A tensor's type and quantisation -> the type of its numbers in the file."""

_CLIP = {"Cast": 6.0, "Const_1": 0.0}
"""Constants of each activation: ReLU6's upper and lower bound."""


_HEADS = {"features": "feats", "age": "age_pred", "gender": "gender_pred"}
"""Our names of the dense layers -> the graph's."""


def read_constants(file: Path) -> dict[str, Tensor]:
    """Read the constants of a graph model by name, float32 or int32.

    Args:
        file: The model's .json; its manifest names one .bin in the same folder, in which the
            tensors follow each other without gaps.

    Raises:
        CheckpointError: If a file is missing, damaged or of another layout.
    """
    try:
        (group,) = json.loads(_content(file))["weightsManifest"]
        (name,) = group["paths"]
        if Path(name).name != name:
            raise CheckpointError(f"path in {file.name} must be a plain name, got {name!r}")
        blob = _content(file.with_name(name))
        found, end = {}, 0
        for entry in group["weights"]:
            shape, stored = _shape_and_type(entry)
            start, end = end, end + math.prod(shape) * stored.itemsize
            if end > len(blob):
                raise CheckpointError(f"{name} must hold {end} bytes or more, got {len(blob)}")
            array = np.frombuffer(blob, stored, math.prod(shape), start).reshape(shape)
            wanted = np.int32 if stored.kind == "i" else np.float32
            found[entry["name"]] = torch.from_numpy(array.astype(wanted))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as err:
        raise CheckpointError(f"{file.name} must be a tfjs graph model, got {err!r}") from err
    if end != len(blob):
        raise CheckpointError(f"{name} must hold {end} bytes, got {len(blob)}")
    return found


def read_faceres(file: Path) -> dict[str, Tensor]:
    """Read FaceRes's state dict from `faceres.json` and what it names.

    Raises:
        CheckpointError: If a file is missing, damaged or of another layout.
    """
    return _read(file, _renamed, FaceRes)


def read_faceres_heads(file: Path) -> dict[str, Tensor]:
    """Read the state dict of FaceRes's heads from `faceres.json` and what it names.

    Raises:
        CheckpointError: If a file is missing, damaged or of another layout.
    """
    return _read(file, _renamed_heads, FaceResHeads)


def _read(
    file: Path,
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    network: Callable[[], nn.Module],
) -> dict[str, Tensor]:
    """Read the constants that a network needs, under its names and of its shapes."""
    source = read_constants(file)
    try:
        state = rename(source)
    except (KeyError, RuntimeError, IndexError) as err:
        raise CheckpointError(f"{file.name} must hold FaceRes's constants: {err}") from err
    with torch.device("meta"):
        wanted = network().state_dict()
    for key, value in state.items():
        if value.shape != wanted[key].shape:
            raise CheckpointError(
                f"{key} of {file.name} must be {(*wanted[key].shape,)}, got {(*value.shape,)}"
            )
        if not value.isfinite().all():
            raise CheckpointError(f"{key} of {file.name} must be finite, got NaN or infinity")
    return state


def _content(file: Path) -> bytes:
    try:
        if (size := file.stat().st_size) > _MAX_FILE_BYTES:
            raise CheckpointError(
                f"size of {file.name} must be at most {_MAX_FILE_BYTES} bytes, got {size}"
            )
        return file.read_bytes()
    except OSError as err:
        raise CheckpointError(f"{file.name} must be a readable file, got {err}") from err


def _shape_and_type(entry: dict[str, Any]) -> tuple[list[int], np.dtype[Any]]:
    shape = entry["shape"]
    if not all(isinstance(side, int) and side > 0 for side in shape):
        raise CheckpointError(f"shape of {entry['name']} must be sides above 0, got {shape}")
    kind = entry["dtype"], entry.get("quantization", {}).get("dtype")
    if kind not in _STORED:
        raise CheckpointError(f"{entry['name']} must be of a type in {[*_STORED]}, got {kind}")
    return shape, np.dtype(_STORED[kind])


def _renamed(source: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert the convolutions to our names and torch's layout, with normalisations folded in."""
    state = {
        "stem.weight": _kernel(source["conv1/convolution/merged_input"]),
        "stem.bias": source["conv1_bn/batchnorm_1/sub"],
    }
    _check_clip(source, "conv1")
    for i in range(len(WIDTHS)):
        depthwise, pointwise = f"conv_dw_{i + 1}", f"conv_pw_{i + 1}"
        for layer in (depthwise, pointwise):
            _check_clip(source, layer)
        # (h, w, channels, 1) in TensorFlow, (channels, 1, h, w) in torch; the graph scales the
        # depthwise output by `mul`, which is folded into the kernel here.
        kernel = source[f"{depthwise}/depthwise_kernel"].permute(2, 3, 0, 1)
        scale = source[f"{depthwise}_bn/batchnorm_1/mul"]
        state |= {
            f"layers.{i}.depthwise.weight": kernel * scale[:, None, None, None],
            f"layers.{i}.depthwise.bias": source[f"{depthwise}_bn/batchnorm_1/sub"],
            f"layers.{i}.pointwise.weight": _kernel(
                source[f"{pointwise}/convolution/merged_input"]
            ),
            f"layers.{i}.pointwise.bias": source[f"{pointwise}_bn/batchnorm_1/sub"],
        }
    return {key: value.contiguous() for key, value in state.items()}


def _renamed_heads(source: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert the dense layers to our names and torch's layout."""
    state = {}
    for ours, theirs in _HEADS.items():
        state[f"{ours}.weight"] = source[f"{theirs}/kernel"].T.contiguous()  # (in, out) in tfjs
        state[f"{ours}.bias"] = source[f"{theirs}/bias"]
    return state


def _kernel(kernel: Tensor) -> Tensor:
    """Convert a kernel (h, w, c_in, c) to torch's (c, c_in, h, w)."""
    return kernel.permute(3, 2, 0, 1)


def _check_clip(source: dict[str, Tensor], layer: str) -> None:
    """Refuse any activation other than ReLU6."""
    for name, value in _CLIP.items():
        if source[f"{layer}_relu/{name}"].item() != value:
            raise CheckpointError(f"{layer} must clip to 0 and 6, got another {name}")
