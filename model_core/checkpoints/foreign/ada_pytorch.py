"""NVIDIA's StyleGAN2-ADA in PyTorch, .pkl: networks pickled with the source code that made them.

The source code is text in the file and is not looked at; the networks' attributes are.
Source: training/networks.py and torch_utils/persistence.py of NVlabs/stylegan2-ada-pytorch, for the
names.
"""

from collections.abc import Iterator
from typing import Any

from model_core.checkpoints.foreign.contents import Foreign, Layout, Tensors, has_keys
from model_core.checkpoints.foreign.stylegan2_weights import stylegan2_of
from model_core.errors import CheckpointError

MAX_DEPTH = 8


def read_ada_pytorch(content: Any) -> Foreign:
    """Read the averaged generator of a network pickle."""
    generator = content["G_ema"]
    source = Tensors(dict(_tensors(generator)))
    synthesis = generator["_modules"]["synthesis"]
    first = generator["_modules"]["mapping"]["_modules"]["fc0"]
    clamp = synthesis["_modules"]["b4"]["_modules"]["conv1"].get("conv_clamp")
    # Read off a layer: a gain is the multiplier over the root of the inputs.
    mapping_lr = float(first["bias_gain"])
    foreign = stylegan2_of("stylegan2-ada-pytorch", source, mapping_lr, float(clamp or 0))
    if any(block.get("use_fp16") for block in synthesis["_modules"].values()):
        foreign.remarks.append("the original runs its largest sizes in float16; here in float32")
    return foreign


def _tensors(module: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and buffers of a module's record and of those inside it."""
    if depth > MAX_DEPTH or not has_keys(module, "_parameters", "_buffers", "_modules"):
        raise CheckpointError(f"{prefix or 'G_ema'} must be a torch module, got another object")
    for group in ("_parameters", "_buffers"):
        yield from ((prefix + name, value) for name, value in module[group].items())
    for name, inner in module["_modules"].items():
        yield from _tensors(inner, f"{prefix}{name}.", depth + 1)


def _matches(content: Any) -> bool:
    return has_keys(content, "G_ema") and has_keys(content["G_ema"], "_modules", "class_name")


ADA_PYTORCH = Layout("stylegan2-ada-pytorch", _matches, read_ada_pytorch)
