"""A network that is trained, with the mean of its weights, which is what is validated and kept."""

import copy
from collections.abc import Iterable
from typing import Generic, TypeVar

import torch
from torch import nn

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
        self.averaged = copy.deepcopy(network).requires_grad_(False).eval()
        self.parameters, self.lr = list(parameters), lr

    @torch.no_grad()
    def average(self, rate: float) -> None:
        """Move the averaged weights towards the trained ones by a share of 0 to 1."""
        averaged, trained = self.averaged.state_dict(), self.network.state_dict()
        for name, mean in averaged.items():
            if mean.is_floating_point():
                mean.lerp_(trained[name], rate)
            else:
                mean.copy_(trained[name])


def unfreeze_synthesis(generator: Generator) -> list[nn.Parameter]:
    """Let gradients reach what the images of given codes depend on, and return it.

    The mapping network stays frozen: codes are predicted, not mapped. So do constants that a family
    keeps as buffers.
    """
    synthesis = [p for name, p in generator.named_parameters() if not name.startswith(MAPPING)]
    for parameter in synthesis:
        parameter.requires_grad_(True)
    return synthesis
