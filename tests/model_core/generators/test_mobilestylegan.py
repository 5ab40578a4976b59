import numpy as np
import openvino
import pytest
import torch

from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.generators.ops import inverse_haar
from model_core.networks.loading import load_generator
from model_core.weights.packs import original_file


@pytest.fixture(scope="module")
def generator(cache):
    return load_generator(cache)[0]


def run_original(cache, name, value):
    original_file(cache, f"{name}.bin")
    model = openvino.Core().compile_model(
        original_file(cache, f"{name}.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return model(value)[0]


@torch.no_grad()
def test_mapping_agrees_with_the_original_graph(cache, generator):
    for seed in range(3):
        z = np.random.default_rng(seed).standard_normal((1, 512)).astype(np.float32)
        expected = run_original(cache, "MappingNetwork", z)
        assert np.abs(generator.mapping(torch.from_numpy(z)).numpy() - expected).max() < 1e-4


@torch.no_grad()
def test_synthesis_agrees_with_the_original_graph(cache, generator):
    for seed in range(3):
        z = torch.from_numpy(np.random.default_rng(seed).standard_normal((1, 512))).float()
        w = generator.mapping(z)
        img = generator.synthesis(w[:, None].repeat(1, 18, 1))
        expected = run_original(cache, "SynthesisNetwork", w.numpy())
        assert img.shape == (1, 3, 1024, 1024)
        assert np.abs(img.numpy() - expected).max() < 1e-3


@torch.no_grad()
def test_a_batch_is_its_items(generator):
    ws = generator.mapping(torch.randn(2, 512, generator=torch.Generator().manual_seed(1)))
    ws = ws[:, None].repeat(1, 18, 1)
    both = generator.synthesis(ws)
    singly = torch.cat([generator.synthesis(ws[:1]), generator.synthesis(ws[1:])])
    # Convolutions of two add up in another order than those of one: on processors with AVX2 alone
    # pixels differ by 4e-7 on average and by 1e-4 at the most. A level of 8 bits is 8e-3.
    assert (both - singly).abs().mean() < 1e-5
    assert (both - singly).abs().max() < 1e-3


def test_statistics_of_w_are_those_of_mapped_codes(generator):
    z = torch.randn(5000, 512, generator=torch.Generator().manual_seed(2))
    w = generator.mapping(z)
    assert (w.mean(dim=0) - generator.w_mean).abs().max() < 6 * (generator.w_std / 5000**0.5).max()
    assert (w.std(dim=0) / generator.w_std - 1).abs().max() < 0.1


def tiny():
    torch.manual_seed(0)
    generator = MobileStyleGAN(MobileStyleGANConfig(w_dim=16, mapping_layers=2, widths=(16, 16, 8)))
    generator.const.normal_()
    return generator


def test_sizes_follow_from_the_widths():
    generator = tiny()
    assert (generator.num_ws, generator.img_resolution) == (10, 64)
    assert generator.synthesis(torch.randn(2, 10, 16)).shape == (2, 3, 64, 64)


def test_rows_drive_their_layers():
    generator = tiny()
    ws = torch.randn(1, 10, 16)
    for blocks in range(4):
        untouched = ws.clone()
        untouched[:, 2 * blocks + 1 :] += 1
        assert torch.equal(generator.features(ws, blocks), generator.features(untouched, blocks))
        last = ws.clone()
        last[:, 2 * blocks] += 1
        assert not torch.equal(generator.features(ws, blocks), generator.features(last, blocks))


def test_gradients_reach_every_row():
    ws = torch.randn(1, 10, 16, requires_grad=True)
    tiny().synthesis(ws).square().sum().backward()
    assert (ws.grad.abs().amax(dim=2) > 0).all()


def test_noise_replaces_the_fixed_maps():
    generator = tiny()
    ws = torch.randn(1, 10, 16)
    sizes = [4, 8, 8, 16, 16, 32, 32]
    silent = [torch.zeros(1, 1, size, size) for size in sizes]
    loud = [torch.randn(1, 1, size, size) for size in sizes]
    assert torch.equal(generator.synthesis(ws, silent), generator.synthesis(ws))
    assert not torch.equal(generator.synthesis(ws, loud), generator.synthesis(ws))


def test_style_matrices_hold_all_that_reads_a_row():
    generator = tiny()
    rows = [len(matrix) for matrix in generator.style_matrices()]
    assert rows == [16, 16 + 4, 16, 16 + 4, 16, 16 + 4, 8, 8, 8, 8]


def test_truncation_ends_at_the_mean():
    generator = tiny()
    w = torch.randn(3, 16)
    assert torch.equal(generator.truncate(w, 0.0), generator.w_mean.expand(3, 16))
    assert torch.allclose(generator.truncate(w, 1.0), w)


def test_inverse_haar_agrees_with_its_definition():
    x = torch.randn(2, 8, 3, 3)
    out = inverse_haar(x)
    for c in range(2):
        ll, (lh, hl, hh) = x[:, c], (x[:, 2 + 3 * c + k] for k in range(3))
        assert torch.allclose(out[:, c, 0::2, 0::2], (ll + lh + hl + hh) / 2)
        assert torch.allclose(out[:, c, 0::2, 1::2], (ll + lh - hl - hh) / 2)
        assert torch.allclose(out[:, c, 1::2, 0::2], (ll - lh + hl - hh) / 2)
        assert torch.allclose(out[:, c, 1::2, 1::2], (ll - lh - hl + hh) / 2)
