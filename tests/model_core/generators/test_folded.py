import copy
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from model_core.errors import InvalidInputError
from model_core.generators.folded import FoldedMobileStyleGAN, folded_order
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.networks.loading import load_generator
from model_core.runtime.backends import can_compile

COMPILED = """
import torch
from torch._inductor.utils import run_and_get_code
from model_core.generators.folded import FoldedMobileStyleGAN
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
config = MobileStyleGANConfig(w_dim=16, mapping_layers=1, widths=(128, 128, 128, 128))
network = FoldedMobileStyleGAN(MobileStyleGAN(config)).requires_grad_(False)
network.to(memory_format=torch.channels_last)
ws = torch.zeros(1, network.generator.num_ws, 16)
# As the parts of a render pass them on.
features = network.features(ws, 1).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
upper = torch.compile(lambda features, ws: network.tail(features, ws, 1))
with torch.no_grad():
    _, (code,) = run_and_get_code(upper, features, ws)
assert "store(" in code
# Where torch 2.14 stores vectors number by number, it does so from an array of this name.
assert "tmpbuf" not in code
"""


@torch.inference_mode()
def test_the_images_are_the_default_generators(cache):
    generator, _ = load_generator(cache)
    folded = FoldedMobileStyleGAN(copy.deepcopy(generator))
    w = generator.mapping(torch.randn(2, 512, generator=torch.Generator().manual_seed(4)))
    ws = w[:, None].repeat(1, 18, 1)
    assert (folded.synthesis(ws) - generator.synthesis(ws)).abs().max() < 1e-4


def make_generator(widths):
    torch.manual_seed(0)
    generator = MobileStyleGAN(MobileStyleGANConfig(w_dim=16, mapping_layers=1, widths=widths))
    generator.const.normal_()
    for name, buffer in generator.named_buffers():
        if name.endswith("noise"):
            buffer.normal_()
    return generator.requires_grad_(False)


@pytest.mark.parametrize("widths", [(8,), (16, 8), (8, 16, 4)])
@torch.inference_mode()
def test_folding_keeps_the_effect_of_every_row(widths):
    generator = make_generator(widths)
    folded = FoldedMobileStyleGAN(copy.deepcopy(generator))
    ws = 3 * torch.randn(2, generator.num_ws, 16)
    expected = generator.synthesis(ws)
    assert expected.std() > 0.01
    assert (folded.synthesis(ws) - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("size_px", [32, 16, 8])
def test_small_images_and_their_gradients_are_the_images_by_area(size_px):
    generator = make_generator((8, 16, 4))
    folded = FoldedMobileStyleGAN(copy.deepcopy(generator))
    ws = torch.randn(2, generator.num_ws, 16, requires_grad=True)
    img = F.adaptive_avg_pool2d(generator.synthesis(ws), size_px)
    small = folded.small_images(ws, size_px)
    assert torch.allclose(small, img, atol=1e-5)
    (expected,) = torch.autograd.grad(img.square().sum(), ws)
    (gradient,) = torch.autograd.grad(small.square().sum(), ws)
    assert (gradient - expected).abs().max() < 1e-4 * expected.abs().max()
    with torch.no_grad():
        assert torch.allclose(folded.small_images(ws, size_px), img, atol=1e-5)


def test_a_size_that_is_no_divisor_is_refused():
    folded = FoldedMobileStyleGAN(MobileStyleGAN(MobileStyleGANConfig(8, 1, 4, (16, 8))).eval())
    with pytest.raises(InvalidInputError, match="must be a divisor of 16, got 5"):
        folded.small_images(torch.zeros(1, folded.generator.num_ws, 8), 5)


def test_folded_features_differ_only_in_order():
    generator = make_generator((8, 16, 4))
    folded = FoldedMobileStyleGAN(copy.deepcopy(generator))
    ws = torch.randn(2, generator.num_ws, 16)
    features, expected = folded.features(ws, 2), generator.features(ws, 2)
    assert torch.allclose(features[:, :4], expected[:, :4], atol=1e-5)
    order = [4, 7, 10, 13, 5, 8, 11, 14, 6, 9, 12, 15]
    assert torch.allclose(features[:, 4:], expected[:, order], atol=1e-5)


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
@torch.inference_mode()
def test_a_split_generator_renders_the_same(blocks):
    generator = make_generator((8, 16, 4))
    folded = FoldedMobileStyleGAN(copy.deepcopy(generator))
    ws = 3 * torch.randn(2, generator.num_ws, 16)
    for network in (generator, folded):
        tail = network.tail(network.features(ws, blocks), ws, blocks)
        assert torch.equal(tail, network.synthesis(ws))


@pytest.mark.parametrize("blocks", [0, 1, 2])
@torch.inference_mode()
def test_the_order_of_folded_features_is_known(blocks):
    generator = make_generator((8, 16, 4))
    folded = FoldedMobileStyleGAN(copy.deepcopy(generator))
    ws = torch.randn(2, generator.num_ws, 16)
    plain = generator.features(ws, blocks)
    order = folded_order(plain.shape[1])
    assert torch.allclose(folded.features(ws, blocks), plain[:, order], atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="no C++ compiler here")
def test_a_cut_generator_is_compiled_to_stores_of_whole_vectors():
    # In a process of its own: the compiler cannot read functions whose shapes are checked.
    subprocess.run([sys.executable, "-c", COMPILED], check=True, timeout=600)
