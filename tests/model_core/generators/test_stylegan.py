import dataclasses

import pytest
import torch
from torch.nn import functional as F

from model_core.generators import reference
from model_core.generators.stylegan import StyleGAN, StyleGANConfig, instance_norm, upscale_conv

CONFIG = StyleGANConfig(widths=(8, 8, 4), w_dim=16, mapping_layers=2, heads=3)


def tiny(**changes):
    torch.manual_seed(0)
    generator = StyleGAN(dataclasses.replace(CONFIG, **changes))
    generator.const.normal_()
    for layer in generator.layers:
        layer.noise.normal_()
        torch.nn.init.constant_(layer.noise_strength, 0.3)
    return generator.requires_grad_(False)


def test_the_fast_way_up_agrees_with_its_definition():
    torch.manual_seed(1)
    x, weight = torch.randn(2, 6, 5, 7), torch.randn(4, 6, 3, 3)
    fast, plain = upscale_conv(x, weight), reference.upscale_conv(x, weight)
    assert fast.shape == (2, 4, 10, 14)
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-4)


def test_normalisation_keeps_its_statistics_in_half_precision():
    x = torch.randn(2, 3, 32, 32) * 0.1 + 30
    want = F.instance_norm(x.bfloat16().double(), eps=1e-8)
    assert (instance_norm(x.bfloat16()).double() - want).abs().max() < 0.03


def test_sizes_follow_from_the_widths():
    generator = tiny()
    assert (generator.num_ws, generator.img_resolution) == (6, 16)
    assert generator.synthesis(torch.randn(2, 6, 16)).shape == (2, 3, 16, 16)


def test_a_batch_is_its_items():
    generator, ws = tiny(), torch.randn(2, 6, 16)
    singly = torch.cat([generator.synthesis(ws[:1]), generator.synthesis(ws[1:])])
    torch.testing.assert_close(generator.synthesis(ws), singly, atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_row():
    ws = torch.randn(1, 6, 16, requires_grad=True)
    (tiny().synthesis(ws) * torch.randn(1, 3, 16, 16)).sum().backward()
    assert (ws.grad.abs().amax(dim=2) > 0).all()


def test_growth_blends_two_image_layers():
    ws = torch.randn(1, 6, 16)
    grown, halfway, coarse = (tiny(lod=lod).synthesis(ws) for lod in (0.0, 0.5, 1.0))
    assert torch.equal(coarse[..., ::2, ::2], coarse[..., 1::2, 1::2])
    torch.testing.assert_close(halfway, (grown + coarse) / 2)


def test_noise_replaces_the_fixed_maps():
    generator, ws = tiny(), torch.randn(1, 6, 16)
    own = [layer.noise for layer in generator.layers]
    assert torch.equal(generator.synthesis(ws, own), generator.synthesis(ws))
    silent = [torch.zeros_like(noise) for noise in own]
    assert not torch.equal(generator.synthesis(ws, silent), generator.synthesis(ws))


def test_style_matrices_hold_all_that_reads_a_row():
    assert [len(matrix) for matrix in tiny().style_matrices()] == [16, 16, 16, 16, 8, 8]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_half_precision_is_near(dtype, tolerance):
    generator, ws = tiny(), torch.randn(2, 6, 16)
    full = generator.synthesis(ws)
    half = generator.to(dtype).synthesis(ws.to(dtype)).float()
    assert (half - full).abs().max() < tolerance * full.abs().max()
