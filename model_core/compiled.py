"""A network of images, compiled for the CPU."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model_core.backends import freeze
from model_core.swap import Swap

Run = Callable[..., Tensor]


class Compiled:
    """Call a network on the items of its batches one by one, compiled by TorchInductor.

    A batch of every size would be compiled anew, and so would every layout in memory: pixels are
    brought to channels-last. One by one costs no time on a CPU.

    Args:
        network: Frozen, on the CPU: batches of images in, a tensor with an item for each out.
        shapes: Of one item (3, height, width) of each batch that goes in.
        name: What it is, for the log.
        at_once: Answer by the network as it is until `hasten` has had it compiled; without, it is
            compiled here.
    """

    def __init__(
        self, network: nn.Module, shapes: Sequence[tuple[int, int, int]], name: str, at_once: bool
    ):
        self._network, self._shapes = network, shapes
        self._swap = Swap[..., Tensor](network, self._compile, name) if at_once else None
        self._run: Run = self._swap or self._compile()

    def hasten(self) -> None:
        """Begin to compile what `at_once` put off, in a thread of its own."""
        if self._swap:
            self._swap.start()

    def __call__(self, *batches: Tensor) -> Tensor:
        """Run the network on batches of one length, in inference mode."""
        return self._run(*batches)

    @torch.inference_mode()
    def _compile(self) -> Run:
        freeze()
        network: Any = torch.compile(self._network)

        def one_by_one(*batches: Tensor) -> Tensor:
            laid_out = (batch.contiguous(memory_format=torch.channels_last) for batch in batches)
            items = zip(*(batch.split(1) for batch in laid_out), strict=True)
            return torch.cat([network(*item) for item in items])

        one_by_one(*(torch.zeros(1, *shape) for shape in self._shapes))
        return one_by_one
