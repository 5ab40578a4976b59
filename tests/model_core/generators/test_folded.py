import copy

import pytest
import torch

from model_core.generators.folded import FoldedMobileStyleGAN
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.loading import load_generator


@torch.inference_mode()
def test_the_images_are_the_default_generators(cache):
    generator, _ = load_generator(cache)
    folded = FoldedMobileStyleGAN(copy.deepcopy(generator))
    w = generator.mapping(torch.randn(2, 512, generator=torch.Generator().manual_seed(4)))
    ws = w[:, None].repeat(1, 18, 1)
    assert (folded.synthesis(ws) - generator.synthesis(ws)).abs().max() < 1e-4


@pytest.mark.parametrize("widths", [(8,), (16, 8), (8, 16, 4)])
@torch.inference_mode()
def test_every_row_drives_what_it_drove(widths):
    torch.manual_seed(0)
    generator = MobileStyleGAN(MobileStyleGANConfig(w_dim=16, mapping_layers=1, widths=widths))
    generator.const.normal_()
    for name, buffer in generator.named_buffers():
        if name.endswith("noise"):
            buffer.normal_()
    folded = FoldedMobileStyleGAN(copy.deepcopy(generator))
    ws = 3 * torch.randn(2, generator.num_ws, 16)
    expected = generator.synthesis(ws)
    assert expected.std() > 0.01
    assert (folded.synthesis(ws) - expected).abs().max() < 1e-5 * expected.abs().max()
