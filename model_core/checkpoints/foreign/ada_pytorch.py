"""NVIDIA's StyleGAN2-ADA in PyTorch, .pkl: networks pickled with the source code that made them.

The source code is text in the file and is not looked at; the networks' attributes are.
Source: training/networks.py and torch_utils/persistence.py of NVlabs/stylegan2-ada-pytorch, for the
names.
"""

from collections.abc import Iterator
from typing import Any

from model_core.checkpoints.foreign.contents import Foreign, Layout, Tensors, has_keys, parts
from model_core.checkpoints.foreign.stylegan2_weights import stylegan2_of

GROUPS = ("_parameters", "_buffers")


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


def _tensors(generator: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and buffers of a module's record and of those inside it."""
    for prefix, module in parts(generator, (*GROUPS, "_modules"), "_modules", "."):
        for group in GROUPS:
            yield from ((prefix + name, value) for name, value in module[group].items())


def _matches(content: Any) -> bool:
    return has_keys(content, "G_ema") and has_keys(content["G_ema"], "_modules", "class_name")


ADA_PYTORCH = Layout("stylegan2-ada-pytorch", _matches, read_ada_pytorch)
