import pytest
import torch

from model_core.evaluation.baselines import (
    IMAGE2STYLEGAN,
    CodeSearch,
    NoiseSearch,
    NoisyImages,
    mean_code,
    noise_maps,
    random_code,
)
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.generators.stylegan import StyleGAN, StyleGANConfig
from model_core.inversion.rendering import SmallImages
from model_core.networks.distances import NoDistance


def mobile():
    return MobileStyleGAN(MobileStyleGANConfig(w_dim=8, mapping_layers=2, widths=(8, 8)))


def stylegan():
    return StyleGAN(StyleGANConfig(widths=(8, 8, 4, 4), w_dim=8, mapping_layers=2))


@pytest.fixture(params=[mobile, stylegan])
def generator(request):
    """A generator of 32 px with noise of different strengths."""
    torch.manual_seed(0)
    generator = request.param()
    generator.const.normal_()
    for i, noise in enumerate(noise_maps(generator)):
        noise.normal_(std=0.1 * (i + 1))
    for name, strength in generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(strength, 0.3)
    return generator.eval().requires_grad_(False)


@pytest.fixture
def target(generator):
    with torch.no_grad():
        return SmallImages(generator, 16, dtype=torch.float32)(random_code(generator, 5))


def test_a_generators_own_noise_changes_nothing(generator):
    ws = random_code(generator, 1)
    maps = noise_maps(generator)
    assert torch.equal(generator.synthesis(ws, maps), generator.synthesis(ws))
    images = NoisyImages(generator, 16, torch.float32)
    plain = SmallImages(generator, 16, dtype=torch.float32)
    assert torch.allclose(images(ws, images.own[None, None]), plain(ws), atol=1e-5)


def test_noise_is_counted_in_units_of_its_spread(generator):
    own = NoisyImages(generator, 16, torch.float32).own
    lengths = [noise.numel() for noise in noise_maps(generator)]
    assert [part.std().item() for part in own.split(lengths)] == pytest.approx([1] * len(lengths))


def test_a_layer_without_noise_stays_without(generator):
    noise_maps(generator)[0].zero_()
    images = NoisyImages(generator, 16, torch.float32)
    assert images.own.isfinite().all()
    ws = random_code(generator, 1)
    louder = images.own.clone()
    louder[: noise_maps(generator)[0].numel()] = 9
    quiet, loud = (images(ws, noise[None, None]) for noise in (images.own, louder))
    assert torch.equal(quiet, loud)


def test_the_code_search_approaches_the_face(generator, target):
    render = SmallImages(generator, 16, dtype=torch.float32)
    search = CodeSearch(render, NoDistance(), IMAGE2STYLEGAN, 30)
    start = mean_code(generator)
    found = search(target, start, lambda _report: True)
    assert error(render(found), target) < 0.9 * error(render(start), target)


def test_the_noise_search_keeps_the_code_and_approaches_the_face(generator, target):
    images = NoisyImages(generator, 16, torch.float32)
    ws = mean_code(generator)
    found = NoiseSearch(images, images.own, 30)(target, ws, lambda _report: True)
    assert found.shape == (1, 1, len(images.own))
    assert error(images(ws, found), target) < 0.95 * error(
        images(ws, images.own[None, None]), target
    )


def error(img, target):
    return (img - target).square().mean().item()
