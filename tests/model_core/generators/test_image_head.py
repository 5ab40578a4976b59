import pytest
import torch
from torch.nn import functional as F

from model_core.generators import ops
from model_core.generators.folded import FoldedMobileStyleGAN
from model_core.generators.image_head import HeadedGenerator, ImageHead, shrink_kernels
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.inversion.rendering import SmallImages

CONFIG = MobileStyleGANConfig(w_dim=8, mapping_layers=1, widths=(8, 8, 4, 4))


@pytest.fixture
def generator():
    torch.manual_seed(0)
    generator = MobileStyleGAN(CONFIG)
    generator.const.normal_()
    for name, bias in generator.named_parameters():
        if name.endswith("affine.bias"):
            bias.data.fill_(3)  # keeps the constant's differences alive through all layers
    return generator.eval().requires_grad_(False)


def test_a_head_gives_the_size_of_its_features_and_gradients_to_every_row(generator):
    head = ImageHead.above(generator, 2)
    render = SmallImages(generator, 16, head, torch.float32)
    ws = torch.randn(2, CONFIG.num_ws, 8, requires_grad=True)
    img = render(ws)
    assert img.shape == (2, 3, 16, 16)
    (gradient,) = torch.autograd.grad(img.square().sum(), ws)
    assert (gradient.abs().sum(dim=2) > 0).all()


def test_a_headed_generator_can_be_split_after_any_block(generator):
    render = HeadedGenerator(FoldedMobileStyleGAN(generator), ImageHead.above(generator, 3))
    ws = torch.randn(2, CONFIG.num_ws, 8)
    whole = render(ws)
    for blocks in (1, 2, 3):
        features = render.features(ws, blocks)
        assert torch.equal(render.tail(features, ws, blocks), whole)
        assert not torch.allclose(render.tail(2 * features, ws, blocks), whole)


def test_a_head_is_exact_for_a_linear_generator(generator, monkeypatch):
    monkeypatch.setattr(ops, "LEAKY_SLOPE", 1.0)
    centre = torch.eye(3)[1].outer(torch.eye(3)[1])
    for block in generator.blocks[2:]:
        for conv in (block.conv1, block.conv2):
            conv.depthwise.weight[...] = centre
    ws = torch.randn(2, CONFIG.num_ws, 8)
    small = SmallImages(generator, 16, ImageHead.above(generator, 2), torch.float32)(ws)
    true = SmallImages(generator, 16, dtype=torch.float32)(ws)
    assert true.std(dim=(2, 3)).min() > 1
    assert torch.allclose(small, true, atol=0.01)


@pytest.mark.parametrize("factor", [2, 4])
def test_shrunk_kernels_give_the_means_of_cells(factor):
    torch.manual_seed(0)
    kernels, cells = torch.randn(3, 1, 3, 3), torch.randn(1, 3, 6, 6)
    large = cells.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    expected = F.avg_pool2d(F.conv2d(large, kernels, padding=1, groups=3), factor)
    shrunk = F.conv2d(cells, shrink_kernels(kernels, factor), padding=1, groups=3)
    assert torch.allclose(shrunk, expected, atol=1e-5)


def test_without_a_head_images_are_the_true_output_by_area(generator):
    render = SmallImages(generator, 16, dtype=torch.float32)
    ws = torch.randn(2, CONFIG.num_ws, 8)
    expected = generator.synthesis(ws).reshape(2, 3, 16, 8, 16, 8).mean((3, 5))
    assert torch.allclose(render(ws), expected, atol=1e-5)


def test_a_size_that_does_not_divide_the_features_gives_gradients_too(generator):
    ws = torch.randn(2, CONFIG.num_ws, 8, requires_grad=True)
    img = F.adaptive_avg_pool2d(generator.synthesis(ws), 24)
    small = SmallImages(generator, 24, dtype=torch.float32)(ws)
    assert torch.allclose(small, img, atol=1e-5)
    (expected,) = torch.autograd.grad(img.square().sum(), ws)
    (gradient,) = torch.autograd.grad(small.square().sum(), ws)
    assert (gradient - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("folded", [False, True])
def test_a_generator_that_is_not_folded_keeps_its_weights(generator, folded):
    render = SmallImages(generator, 16, dtype=torch.float32, folded=folded)
    weights = render.generator.state_dict()
    kept = all(torch.equal(part, weights[name]) for name, part in generator.state_dict().items())
    assert kept is not folded


def test_rendering_leaves_generator_and_head_as_they_are(generator):
    head = ImageHead.above(generator, 2)
    SmallImages(generator, 16, head)
    assert next(generator.parameters()).dtype == torch.float32
    assert next(head.parameters()).requires_grad
