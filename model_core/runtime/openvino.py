"""Run a network on the CPU by OpenVINO, which needs no compiler."""

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
    """Convert a network for inputs of the example's shapes, in a second or two.

    It runs on as many threads as torch does here; what comes back may be called from any thread.
    Warnings of the whole process are silent meanwhile: convert before anything is served.

    Args:
        network: Frozen, float32, on the CPU.
        precision: What it computes in.
        example: What it can be called with.
    Raises:
        RuntimeError: If OpenVINO cannot run it here.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch deprecates torch.jit, which OpenVINO reads
        traced = torch.jit.trace(network, example, check_trace=False)
    # openvino.convert_model would reset the root logger, queue telemetry and take three times as
    # long: these are its two steps that do the work.
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
    turn = threading.Lock()  # its one request must not be used by two threads at a time

    def run(*given: Tensor) -> Tensor:
        with turn:
            return torch.from_numpy(compiled([each.numpy() for each in given])[0].copy())

    return run
