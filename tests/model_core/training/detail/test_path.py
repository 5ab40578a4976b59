import pytest
import torch
from torch.nn import functional as F

from model_core.errors import InvalidInputError
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from model_core.training.detail.path import FeatureUnits, detail_config, require_cut
from tests.model_core.training.detail import tiny


@pytest.fixture(scope="module")
def generator():
    return tiny.make_generator()


@pytest.fixture(scope="module")
def photos():
    return torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1


def trained_encoder(generator):
    encoder = tiny.make_encoder(generator)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return encoder.requires_grad_(False)


@torch.no_grad()
def test_an_encoder_in_units_matches_the_published_one(generator, photos):
    spread = torch.linspace(0.2, 3, 16)
    path, published = tiny.make_path(generator, FeatureUnits(spread)), trained_encoder(generator)
    encoder = trained_encoder(generator)
    encoder.load_state_dict(published.state_dict())
    path.units.adapt(encoder)

    ws, features = path.embed(photos)
    detail, corrected = path.correct(encoder, photos, features, ws)
    img = path.render(corrected, ws, true_output=True)

    plain = generator.features(ws, published.config.blocks)
    expected = published(photos, plain, ws)
    assert expected.std() > 0.01
    assert torch.allclose(detail, expected, atol=1e-3 * float(expected.std()))
    whole = generator.tail(plain + published.decode(expected), ws, published.config.blocks)
    assert (whole - generator.synthesis(ws)).abs().max() > 0.01
    assert torch.allclose(img, F.avg_pool2d(whole, 2), atol=1e-3)

    back = path.units.published(encoder).state_dict()
    for name, value in published.state_dict().items():
        assert torch.allclose(back[name], value, atol=1e-6), name


@torch.no_grad()
def test_without_true_output_the_head_renders(generator, photos):
    path = tiny.make_path(generator)
    ws, features = path.embed(photos)
    head = path.render(features, ws)
    assert head.shape == (2, 3, 256, 256)
    assert not torch.allclose(head, path.render(features, ws, true_output=True), atol=1e-3)


def test_a_constant_channel_has_a_unit():
    units = FeatureUnits(torch.tensor([0.0, 1.0, 1.0, 2.0]))
    features = torch.randn(1, 4, 2, 2)
    assert torch.allclose(units.from_units(units.to_units(features)), features)
    assert units.to_units(features).isfinite().all()


def test_sizes_follow_from_the_generator(generator):
    config = detail_config(generator)
    assert (config.blocks, config.features, config.features_px) == (4, 16, 64)
    assert (config.first_row, config.rows, config.w_dim) == (9, 4, 16)
    assert detail_config(MobileStyleGAN()) == type(config)()


def test_generators_that_have_no_details_are_refused():
    with pytest.raises(InvalidInputError, match=r"a MobileStyleGAN to train .* got StyleGAN2"):
        require_cut(StyleGAN2(StyleGAN2Config(w_dim=8, mapping_layers=1, widths=(4, 4))))
    small = MobileStyleGAN(MobileStyleGANConfig(w_dim=8, mapping_layers=1, widths=(8, 8, 8)))
    with pytest.raises(InvalidInputError, match=r"features of 64 px .* got \[8, 16\]"):
        detail_config(small)
