import pytest
import torch

from model_core.generators.image_head import ImageHead, ImageHeadConfig
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.rendering import SmallImages

CONFIG = MobileStyleGANConfig(w_dim=8, mapping_layers=1, widths=(8, 8, 4, 4))


@pytest.fixture
def generator():
    torch.manual_seed(0)
    generator = MobileStyleGAN(CONFIG)
    generator.const.normal_()
    return generator.eval().requires_grad_(False)


def test_a_head_gives_twice_the_size_of_its_features_and_gradients_to_every_row(generator):
    head = ImageHead(ImageHeadConfig.above(CONFIG, 2))
    render = SmallImages(generator, 32, head, torch.float32)
    ws = torch.randn(2, CONFIG.num_ws, 8, requires_grad=True)
    img = render(ws)
    assert img.shape == (2, 3, 32, 32)
    (gradient,) = torch.autograd.grad(img.square().sum(), ws)
    assert (gradient.abs().sum(dim=2) > 0).all()


def test_without_a_head_images_are_the_true_output_by_area(generator):
    render = SmallImages(generator, 16, dtype=torch.float32)
    ws = torch.randn(2, CONFIG.num_ws, 8)
    expected = generator.synthesis(ws).reshape(2, 3, 16, 8, 16, 8).mean((3, 5))
    assert torch.allclose(render(ws), expected, atol=1e-5)


def test_rendering_leaves_generator_and_head_as_they_are(generator):
    head = ImageHead(ImageHeadConfig.above(CONFIG, 2))
    SmallImages(generator, 32, head)
    assert next(generator.parameters()).dtype == torch.float32
    assert next(head.parameters()).requires_grad
