import pytest
import torch
from torch import nn

from model_core.encoders.embedding_network import EmbeddingNetwork, EmbeddingNetworkConfig
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.perceptual import Perceptual


class MeanColour(nn.Module):
    """An identity encoder for tests: the mean of each channel, repeated."""

    def forward(self, img):
        return img.mean(dim=(2, 3)).repeat(1, 4)


class PixelDistance(Perceptual):
    """A perceptual distance for tests."""

    name = "pixels"

    def features(self, img):
        return [img]


@pytest.fixture
def generator():
    """A generator of 512 px with codes of 16 x 16."""
    torch.manual_seed(0)
    config = MobileStyleGANConfig(
        w_dim=16, mapping_layers=2, const_size_px=4, widths=(8, 8, 4, 4, 4, 4)
    )
    generator = MobileStyleGAN(config)
    generator.const.normal_()
    return generator.eval().requires_grad_(False)


@pytest.fixture
def network(generator):
    """An untrained embedding network for it."""
    torch.manual_seed(1)
    config = EmbeddingNetworkConfig(num_ws=generator.num_ws, w_dim=16, identity_dim=12)
    return EmbeddingNetwork(config, MeanColour(), generator.w_mean, generator.w_std)


@pytest.fixture
def lpips():
    """A perceptual distance that needs no weights."""
    return PixelDistance()
