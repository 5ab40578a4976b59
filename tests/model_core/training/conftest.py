import pytest

from model_core.training.data import producer
from tests.model_core.training import tiny


@pytest.fixture(autouse=True)
def _few_pairs_ahead(monkeypatch):
    """Generate few pairs that no step draws: they take a core that steps need."""
    monkeypatch.setattr(producer, "LOOKAHEAD", 16)


@pytest.fixture
def generator():
    """A generator of 512 px with codes of 16 x 16."""
    return tiny.make_generator()


@pytest.fixture
def network(generator):
    """An untrained embedding network for it."""
    return tiny.make_network(generator)


@pytest.fixture
def lpips():
    """A perceptual distance that needs no weights."""
    return tiny.PixelDistance()
