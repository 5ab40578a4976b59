"""LPIPS from its authors' package, on torchvision's trunks, which the user supplies as files."""

import re
import warnings
from pathlib import Path

import lpips
import torch
from jaxtyping import Float
from torch import Tensor

from model_core.perceptual.stlpips import Perceptual
from model_core.perceptual.trunks import read_trunk


class PackageLPIPS(Perceptual):
    """LPIPS v0.1 with the package's calibrated weights: the metric of Guan et al. 2020.

    Args:
        trunk: "alex" or "vgg".
        weights: torchvision's state dict of that network.

    Raises:
        CheckpointError: If the file does not hold that network.

    Source: Zhang et al. 2018; package lpips 0.1.4 (BSD-2-Clause).
    """

    def __init__(self, trunk: str, weights: Path):
        super().__init__()
        self.trunk = trunk
        with warnings.catch_warnings():  # the package asks torchvision in a deprecated way
            warnings.simplefilter("ignore")
            self.network = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False)
        # slice2.4.weight there is features.4.weight in torchvision.
        own = self.network.net.state_dict()
        names = {re.sub(r"^slice\d+\.", "", key): key for key in own}
        source = read_trunk(weights, {name: own[key] for name, key in names.items()})
        self.network.net.load_state_dict({names[name]: v for name, v in source.items()})
        self.requires_grad_(False).eval()

    @property
    def name(self) -> str:
        """Name this distance with its trunk: "lpips-alex" or "lpips-vgg"."""
        return f"lpips-{self.trunk}"

    def features(self, img: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Compute the five feature maps, normalised over channels and scaled by their weights.

        Args:
            img: RGB in [-1, 1].
        """
        maps = self.network.net(self.network.scaling_layer(img))
        scales = [torch.sqrt(lin.model[-1].weight) for lin in self.network.lins]
        return [lpips.normalize_tensor(x) * s for x, s in zip(maps, scales, strict=True)]
