"""Run a network on the CPU by OpenVINO, which needs no compiler."""

import warnings
from collections.abc import Callable

import openvino
import torch
from torch import Tensor, nn


def run_by_openvino(network: nn.Module, *example: Tensor) -> Callable[..., Tensor]:
    """Convert a network for inputs of the example's shapes; seconds.

    It computes in the type of OpenVINO's choice: bfloat16 where the processor has units for it.
    What comes back is for one thread at a time.

    Args:
        network: Frozen, float32, on the CPU.
        example: What it can be called with.
    """
    shapes = [tuple(each.shape) for each in example]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch deprecates torch.jit, which OpenVINO reads
        # OpenVINO would trace by itself, and run three times more to check what it traced.
        traced = torch.jit.trace(network, example, check_trace=False)
        model = openvino.convert_model(traced, example_input=example, input=shapes)
    compiled = openvino.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    return lambda *given: torch.from_numpy(compiled([each.numpy() for each in given])[0].copy())
