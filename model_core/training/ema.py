"""A network that is trained, with the mean of its weights, which is what is validated and kept."""

from collections.abc import Iterable
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model_core.generators.contract import Generator

MAPPING = "mapping_network."

Network = TypeVar("Network", bound=nn.Module)


class TrainedNetwork(Generic[Network]):
    """A network whose weights are trained at one rate, and their moving average.

    Attributes:
        network: The trained one.
        averaged: A frozen copy that follows it.
        parameters: Those of the network that are trained.
        lr: Learning rate after warm-up.
    """

    def __init__(self, network: Network, parameters: Iterable[nn.Parameter], lr: float):
        self.network = network
        self._rate = 0.0
        self._average = AveragedModel(network, multi_avg_fn=self._follow, use_buffers=True)
        # The copy counts as the first of the average; else the next weights would replace it.
        self._average.n_averaged += 1
        self.averaged = cast(Network, self._average.module.requires_grad_(False).eval())
        self.parameters, self.lr = list(parameters), lr

    def average(self, rate: float) -> None:
        """Move the averaged weights towards the trained ones by a share of 0 to 1."""
        self._rate = rate
        self._average.update_parameters(self.network)

    @torch.no_grad()
    def _follow(
        self,
        averaged: tuple[Tensor, ...] | list[Tensor],
        trained: tuple[Tensor, ...] | list[Tensor],
        _count: Tensor | int,
    ) -> None:
        """Average tensors of one type; counts, as of batches seen, are taken as they are."""
        if averaged[0].is_floating_point():
            get_ema_multi_avg_fn(1 - self._rate)(averaged, trained, _count)
            return
        for mean, value in zip(averaged, trained, strict=True):
            mean.copy_(value)


def unfreeze_synthesis(generator: Generator) -> list[nn.Parameter]:
    """Let gradients reach what the images of given codes depend on, and return it.

    The mapping network stays frozen: codes are predicted, not mapped. So do constants that a family
    keeps as buffers.
    """
    synthesis = [p for name, p in generator.named_parameters() if not name.startswith(MAPPING)]
    for parameter in synthesis:
        parameter.requires_grad_(True)
    return synthesis
