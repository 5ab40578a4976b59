import pytest
import torch
from torch import nn

from model_core.encoders.detail_encoder import DetailEncoder, DetailEncoderConfig
from model_core.encoders.embedding_network import EmbeddingNetwork, EmbeddingNetworkConfig
from model_core.evaluation.networks import EvaluationNetworks
from model_core.evaluation.scoring import Scorer
from model_core.generators.image_head import ImageHead
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.images import to_uint8
from model_core.networks.loading import load_stlpips


class MeanColour(nn.Module):
    """An identity encoder for tests: the mean of each channel, repeated."""

    def forward(self, img):
        return img.mean(dim=(2, 3)).repeat(1, 4)


def describe(img):
    """A descriptor for tests: the picture at 8x16 px, grey; it is alike for all."""
    return nn.functional.adaptive_avg_pool2d(img.mean(1), (8, 16)).flatten(1) + 2


def make_network(generator, disentangled=True):
    config = EmbeddingNetworkConfig(
        num_ws=generator.num_ws,
        w_dim=generator.w_dim,
        img_px=64,
        attribute_px=64,
        identity_dim=12,
        disentangled=disentangled,
    )
    return EmbeddingNetwork(config, MeanColour(), generator.w_mean, generator.w_std).eval()


@pytest.fixture(scope="session")
def generator():
    """A generator of 128 px with codes of 10 x 10 and noise."""
    torch.manual_seed(0)
    config = MobileStyleGANConfig(w_dim=10, mapping_layers=2, const_size_px=8, widths=(8, 8, 8))
    generator = MobileStyleGAN(config)
    generator.const.normal_()
    for name, noise in generator.named_buffers():
        if name.endswith("noise"):
            noise.normal_(std=0.1)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def nets(generator, cache):
    """Tiny networks and real perceptual distances, without a compiler."""
    torch.manual_seed(1)
    networks = {
        "network": make_network(generator),
        "mse-lpips": make_network(generator),
        "mse-lpips-tuned": make_network(generator),
        "collaborative": make_network(generator),
        "single-resnet": make_network(generator, disentangled=False),
    }
    digests = {name: name for name in (*networks, "generator", "tuned generator", "head")}
    head = ImageHead.above(generator, 2).eval().requires_grad_(False)
    config = DetailEncoderConfig(
        blocks=1,
        features=8,
        features_px=16,
        bottleneck=4,
        width=8,
        half_width=8,
        quarter_width=8,
        first_row=3,
        w_dim=10,
    )
    detail = DetailEncoder(config, generator.w_mean, generator.w_std)
    for parameter in detail.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return EvaluationNetworks(
        generator,
        networks,
        digests,
        cache,
        None,
        "eager",
        tuned=generator,
        head=head,
        detail=(detail.eval().requires_grad_(False), "d" * 64),
        face_px=64,
    )


@pytest.fixture(scope="session")
def faces(nets):
    """Three images of the tiny generator, far from its mean."""
    random = torch.Generator().manual_seed(2)
    return to_uint8(nets.render(20 * torch.randn(3, 10, 10, generator=random)))


@pytest.fixture(scope="session")
def scorer(cache):
    """Measures faces of any size."""
    distances = [load_stlpips(cache, "alex"), load_stlpips(cache, "vgg")]
    return Scorer(describe, distances, {"colours": lambda img: img.mean(dim=(2, 3)) + 2})
