"""The uncalibrated perceptual loss: squared differences of four feature maps of VGG-16.

Image2StyleGAN and figure 3 of Guan et al. 2020 use it; LPIPS replaced it in the iterator.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import vgg16

from model_core.perceptual.stlpips import STLPIPS, Perceptual
from model_core.perceptual.trunks import read_trunk

# The rectified outputs of conv1_1, conv1_2, conv3_2 and conv4_2, counted from 1.
_TAKEN = (1, 2, 6, 9)
# ImageNet's mean and spread of the channels, seen from [-1, 1].
_MEAN = (-0.030, -0.088, -0.188)
_SPREAD = (0.458, 0.448, 0.450)


class VggFeatures(Perceptual):
    """Mean squared difference of VGG-16's features, summed over four layers of weight 1.

    Not covered: a scale that people would agree with; distances of different trunks are not
    comparable.

    Args:
        layers: VGG-16's layers in order, from the first convolution on.
        name: "vgg-features" for torchvision's trunk, "st-vgg-features" for ST-LPIPS's.

    Source: Abdal et al. 2019, Image2StyleGAN, section 4 (layers and weights); Johnson et al. 2016
    (rectified features).
    """

    def __init__(self, layers: Iterable[nn.Module], name: str):
        super().__init__()
        self._name = name
        self.layers = nn.ModuleList(_until(layers, _TAKEN[-1]))
        self.requires_grad_(False).eval()

    @classmethod
    def shift_tolerant(cls, metric: STLPIPS) -> "VggFeatures":
        """Use the trunk of ST-LPIPS, which comes with the default weights."""
        layers = itertools.chain.from_iterable(stage.children() for stage in metric.stages)
        return cls(layers, "st-vgg-features")

    @classmethod
    def torchvision(cls, weights: Path) -> "VggFeatures":
        """Use torchvision's trunk, trained on ImageNet.

        Args:
            weights: torchvision's state dict of VGG-16.
        Raises:
            CheckpointError: If the file is not one.
        """
        with torch.device("meta"):
            features = vgg16(weights=None).features
        features.load_state_dict(read_trunk(weights, features.state_dict()), assign=True)
        return cls(features, "vgg-features")

    @property
    def name(self) -> str:
        """Name this distance after its trunk."""
        return self._name

    def features(self, img: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Compute the four feature maps, scaled so that `distance` is the mean over their scalars.

        Args:
            img: RGB in [-1, 1].
        """
        mean = img.new_tensor(_MEAN).view(3, 1, 1)
        spread = img.new_tensor(_SPREAD).view(3, 1, 1)
        x = ((img - mean) / spread).contiguous(memory_format=torch.channels_last)
        features, rectified = [], 0
        for layer in self.layers:
            x = layer(x)
            rectified += isinstance(layer, nn.ReLU)
            if isinstance(layer, nn.ReLU) and rectified in _TAKEN:
                # `distance` sums squares over channels: so divided, that is their mean.
                features.append(x / x.shape[1] ** 0.5)
        return features


def _until(layers: Iterable[nn.Module], last: int) -> list[nn.Module]:
    """Return the layers up to the given ReLU, making ReLUs keep their input."""
    kept: list[nn.Module] = []
    rectified = 0
    for layer in layers:
        if rectified < last:
            kept.append(nn.ReLU() if isinstance(layer, nn.ReLU) else layer)
            rectified += isinstance(layer, nn.ReLU)
    return kept
