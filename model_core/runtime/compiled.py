"""Networks with a compiled form that TorchInductor makes in the background."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from model_core.runtime.backends import compile_lazily, frozen_weights
from model_core.runtime.background import BackgroundCompiled, CompileQueue
from model_core.runtime.execution import Execution

Run = Callable[..., Tensor]


def for_inference(x: Tensor) -> Tensor:
    """Return an inference tensor, copying any other; call in inference mode.

    Code is compiled for one of the two kinds of tensor. Given the other, it would be compiled again
    during a request, outside `frozen_weights`.
    """
    return x if x.is_inference() else x.clone()


def one_by_one(run: Run) -> Run:
    """Run the items of batches singly, which costs no time on a CPU."""

    def each(*batches: Tensor) -> Tensor:
        if all(len(batch) == 1 for batch in batches):
            return run(*batches)
        items = zip(*(batch.split(1) for batch in batches), strict=True)
        return torch.cat([run(*item) for item in items])

    return each


def defer_network(
    queue: CompileQueue,
    name: str,
    network: nn.Module,
    fallback: Run,
    shapes: Sequence[tuple[int, int, int]],
) -> BackgroundCompiled[..., Tensor]:
    """Serve a network with a fallback until its compiled form has proved faster.

    That form takes the items of a batch one by one, which costs no time on a CPU: a batch of every
    size, and every layout in memory, would need its own compilation. Call it in inference mode.

    Args:
        queue: Compiles it.
        name: Name for the log.
        network: Frozen, on the CPU; batches of images in, a tensor with an item for each out.
        fallback: Serves calls until then; often the network itself.
        shapes: Shape of one item (3, height, width) of each input batch.
    """

    @torch.inference_mode()
    def call(form: Run) -> Tensor:
        # In the service's memory layout, (height, width, 3).
        items = [torch.zeros(1, h, w, c).permute(0, 3, 1, 2) for c, h, w in shapes]
        return form(*items)

    def make() -> Run:
        compiled = one_by_one(compile_lazily(network))

        def run(*batches: Tensor) -> Tensor:
            laid_out = (batch.contiguous(memory_format=torch.channels_last) for batch in batches)
            return compiled(*map(for_inference, laid_out))

        with frozen_weights():
            call(run)
        return run

    return queue.defer(name, fallback, make, call)


def defer_module(
    execution: Execution,
    name: str,
    network: nn.Module,
    fallback: Run,
    example: Sequence[Tensor],
) -> BackgroundCompiled[..., Tensor]:
    """Serve a module with a fallback until its compiled form has proved faster.

    On a CPU that form takes the items of a batch one by one, as in `defer_network`.

    Args:
        execution: Where and in what precision it runs; its queue compiles.
        name: Name for the log.
        network: Frozen, float32, on the CPU; converts its inputs to its own dtype. Copied.
        fallback: Serves calls until then.
        example: A batch of one for each input, float32 and contiguous like all inputs.
    """

    @torch.inference_mode()
    def call(form: Run) -> Tensor:
        return form(*example).cpu()

    def make() -> Run:
        dtype = execution.precision.dtype
        placed = copy.deepcopy(network).to(
            execution.device, dtype, memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        compiled: Run = compile_lazily(placed)
        if execution.on_cpu:
            compiled = one_by_one(compiled)

        def run(*batches: Tensor) -> Tensor:
            return compiled(*(for_inference(batch.to(execution.device)) for batch in batches))

        with frozen_weights():
            call(run)
        return run

    return execution.queue.defer(name, fallback, make, call)
