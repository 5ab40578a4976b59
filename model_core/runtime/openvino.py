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


STREAMS = 2
"""Items that `run_items_by_openvino` computes at a time."""


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
    compiled = _convert(network, precision, example, streams=1)
    turn = threading.Lock()  # its only request must not be used by two threads at a time

    def run(*given: Tensor) -> Tensor:
        with turn:
            found = compiled([each.numpy() for each in given], share_outputs=False)
            return torch.from_numpy(found[0])

    return run


def run_items_by_openvino(
    network: nn.Module, precision: Precision, example: Tensor
) -> Callable[[Tensor], Tensor]:
    """Convert a network that runs a batch's items two at a time, for batches of any size.

    Each item gets half of the threads, also if there is only one. With small layers that is faster
    than a batch of two, whose threads wait for each other after every layer. Otherwise as
    `run_by_openvino`.

    Args:
        network: Frozen, float32, on the CPU.
        precision: Precision in which it computes.
        example: A batch of one.
    Raises:
        RuntimeError: If OpenVINO cannot run it here.
    """
    compiled = _convert(network, precision, (example,), streams=STREAMS)
    requests = [compiled.create_infer_request() for _ in range(STREAMS)]
    turn = threading.Lock()

    def run(batch: Tensor) -> Tensor:
        found = []
        with turn:
            for items in batch.split(STREAMS):
                busy = requests[: len(items)]
                for request, item in zip(busy, items.split(1), strict=True):
                    request.start_async([item.numpy()])
                for request in busy:
                    request.wait()
                    found.append(torch.from_numpy(request.get_output_tensor(0).data.copy()))
        return torch.cat(found)

    return run


def _convert(
    network: nn.Module, precision: Precision, example: tuple[Tensor, ...], streams: int
) -> openvino.CompiledModel:
    """Convert and compile a network for up to `streams` inferences at a time."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch deprecates torch.jit, which OpenVINO reads
        traced = torch.jit.trace(network, example, check_trace=False)
    # openvino.convert_model would reset the root logger, queue telemetry and take three times as
    # long: these are the two of its steps that do the work.
    reader = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, example_input=example)  # the reader holds it weakly
    model = reader.convert(reader.load(decoder))
    model.reshape({i: tuple(each.shape) for i, each in enumerate(example)})
    settings: dict[str, str | int] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[precision.name],
    }
    if streams > 1:
        settings["NUM_STREAMS"] = streams
    return openvino.Core().compile_model(model, "CPU", settings)
