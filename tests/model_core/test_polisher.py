import pytest
import torch

from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.iterator import Iterator
from model_core.polisher import MAX_STEPS, Polisher
from model_core.rendering import SmallImages
from tests.model_core.training.tiny import PixelDistance

CONFIG = MobileStyleGANConfig(w_dim=8, mapping_layers=1, widths=(8, 8, 4, 4))


@pytest.fixture
def images():
    torch.manual_seed(0)
    generator = MobileStyleGAN(CONFIG)
    generator.const.normal_()
    return SmallImages(generator, 32)


@pytest.fixture
def polisher(images):
    return Polisher(images, PixelDistance(), "cpu")


@pytest.fixture
def face(images):
    random = torch.Generator().manual_seed(1)
    return images(torch.randn(1, CONFIG.num_ws, 8, generator=random))


def test_a_budget_brings_the_code_nearer(polisher, images, face):
    start = torch.zeros(1, CONFIG.num_ws, 8)
    polished = polisher(face, start, budget_s=1.0)
    assert 0 < polished.steps <= MAX_STEPS
    losses = Iterator(images, PixelDistance()).losses
    assert losses(polished.ws, face) < losses(start, face)


def test_without_time_the_code_stays(polisher, face):
    start = torch.zeros(1, CONFIG.num_ws, 8)
    polished = polisher(face, start, budget_s=0.0)
    assert polished.steps == 0
    assert torch.equal(polished.ws, start)


def test_a_clock_ends_it(polisher, face, monkeypatch):
    times = iter(range(1000))
    monkeypatch.setattr("model_core.polisher.time.monotonic", lambda: float(next(times)))
    assert polisher(face, torch.zeros(1, CONFIG.num_ws, 8), budget_s=5.5).steps == 4
