import pytest
import torch

from model_core.generators import modulation, reference
from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config


def tiny(clamp=0.0):
    torch.manual_seed(0)
    config = StyleGAN2Config(widths=(8, 8, 4), w_dim=16, mapping_layers=2, clamp=clamp)
    generator = StyleGAN2(config)
    for layer in generator.layers:
        layer.noise.normal_()
        torch.nn.init.constant_(layer.noise_strength, 0.3)
        torch.nn.init.ones_(layer.affine.bias)
    return generator.requires_grad_(False)


@pytest.mark.parametrize("up", [False, True])
def test_the_fast_convolution_agrees_with_its_definition(up):
    torch.manual_seed(1)
    x, weight, style = torch.randn(3, 6, 5, 7), torch.randn(4, 6, 3, 3), torch.randn(3, 6)
    fast = modulation.modulated_conv(x, weight, style, up)
    plain = reference.modulated_conv(x, weight, style, up)
    assert fast.shape == (3, 4, 10, 14) if up else (3, 4, 5, 7)
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-4)


def test_the_fast_upsampling_agrees_with_its_definition():
    img = torch.randn(2, 3, 5, 6)
    torch.testing.assert_close(modulation.upsample(img), reference.upsample(img))


def test_sizes_follow_from_the_widths():
    generator = tiny()
    assert (generator.num_ws, generator.img_resolution) == (6, 16)
    assert generator.synthesis(torch.randn(2, 6, 16)).shape == (2, 3, 16, 16)


def test_a_batch_is_its_items():
    generator, ws = tiny(), torch.randn(2, 6, 16)
    singly = torch.cat([generator.synthesis(ws[:1]), generator.synthesis(ws[1:])])
    torch.testing.assert_close(generator.synthesis(ws), singly)


def test_gradients_reach_every_row():
    ws = torch.randn(1, 6, 16, requires_grad=True)
    tiny().synthesis(ws).square().sum().backward()
    assert (ws.grad.abs().amax(dim=2) > 0).all()


def test_noise_replaces_the_fixed_maps():
    generator, ws = tiny(), torch.randn(1, 6, 16)
    own = [layer.noise for layer in generator.layers]
    assert torch.equal(generator.synthesis(ws, own), generator.synthesis(ws))
    silent = [torch.zeros_like(noise) for noise in own]
    assert not torch.equal(generator.synthesis(ws, silent), generator.synthesis(ws))


def test_features_are_clamped():
    assert not torch.equal(
        tiny(clamp=0.5).synthesis(
            torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(2))
        ),
        tiny().synthesis(torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(2))),
    )


def test_style_matrices_hold_all_that_reads_a_row():
    rows = [len(matrix) for matrix in tiny().style_matrices()]
    assert rows == [8, 8 + 8, 8, 8 + 8, 4, 4]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.15), (torch.float16, 0.02)])
def test_half_precision_is_near(dtype, tolerance):
    generator, ws = tiny(clamp=256.0), torch.randn(2, 6, 16)
    full = generator.synthesis(ws)
    half = generator.to(dtype).synthesis(ws.to(dtype))
    assert half.dtype == torch.float32
    assert (half - full).abs().max() < tolerance * full.abs().max()


def test_large_styles_do_not_overflow_float16():
    x, weight = torch.ones(1, 64, 4, 4).half() * 200, torch.ones(8, 64, 3, 3).half() * 0.04
    style = torch.full((1, 64), 100.0).half()
    out = modulation.modulated_conv(x, weight, style, up=False)
    assert out.isfinite().all()
    plain = reference.modulated_conv(x.float(), weight.float(), style.float(), up=False)
    torch.testing.assert_close(out.float(), plain, atol=1, rtol=1e-2)
