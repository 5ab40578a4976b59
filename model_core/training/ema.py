"""A trained network and the moving average of its weights, which is validated and kept."""

from collections.abc import Iterable
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model_core.generators.contract import Generator

MAPPING = "mapping_network."

Network = TypeVar("Network", bound=nn.Module)


class TrainedNetwork(Generic[Network]):
    """A network trained at one learning rate, with the moving average of its weights.

    Attributes:
        network: The trained network.
        averaged: A frozen copy that holds the averaged weights.
        parameters: The network's trained parameters.
        lr: Learning rate after warm-up.
    """

    def __init__(self, network: Network, parameters: Iterable[nn.Parameter], lr: float):
        self.network = network
        self._rate = 0.0
        self._average = AveragedModel(network, multi_avg_fn=self._follow, use_buffers=True)
        # Count the copy as the first term; otherwise the next update would overwrite it.
        self._average.n_averaged += 1
        self.averaged = cast(Network, self._average.module.requires_grad_(False).eval())
        self.parameters, self.lr = list(parameters), lr

    def average(self, rate: float) -> None:
        """Move the averaged weights towards the trained ones by a rate of 0 to 1."""
        self._rate = rate
        self._average.update_parameters(self.network)

    @torch.no_grad()
    def _follow(
        self,
        averaged: tuple[Tensor, ...] | list[Tensor],
        trained: tuple[Tensor, ...] | list[Tensor],
        _count: Tensor | int,
    ) -> None:
        """Average tensors of one dtype; copy integer ones, such as BatchNorm's batch count."""
        if averaged[0].is_floating_point():
            get_ema_multi_avg_fn(1 - self._rate)(averaged, trained, _count)
            return
        for mean, value in zip(averaged, trained, strict=True):
            mean.copy_(value)


def unfreeze_synthesis(generator: Generator) -> list[nn.Parameter]:
    """Enable gradients for the parameters that images of given codes depend on; return them.

    The mapping network stays frozen, since codes are predicted, not mapped. So do constants that a
    family keeps as buffers.
    """
    synthesis = [p for name, p in generator.named_parameters() if not name.startswith(MAPPING)]
    for parameter in synthesis:
        parameter.requires_grad_(True)
    return synthesis
