"""Run a network on the CPU with OpenVINO, which needs no compiler."""

import threading
import warnings
from collections.abc import Callable

import openvino
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from model_core.runtime.precision import Precision

PRECISION_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def run_by_openvino(
    network: nn.Module, precision: Precision, *example: Tensor
) -> Callable[..., Tensor]:
    """Convert a network for inputs of the example's shapes, which takes a second or two.

    It uses as many threads as torch does here; the result may be called from any thread.
    Warnings are silenced for the whole process meanwhile: convert before serving anything.

    Args:
        network: Frozen, float32, on the CPU.
        precision: Precision in which it computes.
        example: Inputs that it can be called with.
    Raises:
        RuntimeError: If OpenVINO cannot run it here.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch deprecates torch.jit, which OpenVINO reads
        traced = torch.jit.trace(network, example, check_trace=False)
    # openvino.convert_model would reset the root logger, queue telemetry and take three times as
    # long: these are the two of its steps that do the work.
    reader = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, example_input=example)  # the reader holds it weakly
    model = reader.convert(reader.load(decoder))
    model.reshape({i: tuple(each.shape) for i, each in enumerate(example)})
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision.name],
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    turn = threading.Lock()  # its only request must not be used by two threads at a time

    def run(*given: Tensor) -> Tensor:
        with turn:
            return torch.from_numpy(compiled([each.numpy() for each in given])[0].copy())

    return run
