import pytest

from tests.model_core.training import tiny


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
