"""A network of images on the CPU, with a form that TorchInductor compiles."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model_core.runtime.backends import frozen_weights
from model_core.runtime.background import BackgroundCompiled, CompileQueue

Run = Callable[..., Tensor]


def defer_network(
    queue: CompileQueue,
    name: str,
    network: nn.Module,
    fallback: Run,
    shapes: Sequence[tuple[int, int, int]],
) -> BackgroundCompiled[..., Tensor]:
    """Serve a network by a fallback until its compiled form has proved faster.

    That form takes the items of a batch one by one, which costs no time on a CPU: a batch of every
    size would be compiled anew, and so would every layout in memory. Call it in inference mode.

    Args:
        queue: Compiles it.
        name: What it is, for the log.
        network: Frozen, on the CPU: batches of images in, a tensor with an item for each out.
        fallback: Serves until then; often the network itself.
        shapes: Of one item (3, height, width) of each batch that goes in.
    """

    @torch.inference_mode()
    def call(form: Run) -> Tensor:
        # As the service's images come, (height, width, 3) in memory.
        items = [torch.zeros(1, h, w, c).permute(0, 3, 1, 2) for c, h, w in shapes]
        return form(*items)

    def make() -> Run:
        compiled: Any = torch.compile(network)

        def one_by_one(*batches: Tensor) -> Tensor:
            laid_out = (batch.contiguous(memory_format=torch.channels_last) for batch in batches)
            items = zip(*(batch.split(1) for batch in laid_out), strict=True)
            return torch.cat([compiled(*item) for item in items])

        with frozen_weights():
            call(one_by_one)
        return one_by_one

    return queue.defer(name, fallback, make, call)
