import pytest
import torch

from model_core.generators.sampling import Mixture, sample_w, spread_along
from model_core.networks.loading import load_generator
from model_core.training.config import TrainConfig


@pytest.fixture(scope="module")
def generator(cache):
    return load_generator(cache)[0]


def test_a_seed_gives_the_same_code_in_any_batch(generator):
    together = sample_w(generator, range(5), 0.7)
    assert torch.allclose(together[3:4], sample_w(generator, [3], 0.7), atol=1e-5)
    assert not torch.allclose(together[3], together[4])
    assert torch.allclose(sample_w(generator, [3], 0.0)[0], generator.w_mean)


def test_along_an_axis_the_spread_is_that_of_the_component(generator):
    axes = torch.eye(generator.w_dim)[[0, 100, 511]]
    spread = spread_along(generator, axes * torch.tensor([[1.0], [20.0], [0.01]]))
    assert torch.allclose(spread, generator.w_std[[0, 100, 511]], rtol=0.1)


def test_along_the_widest_direction_codes_spread_the_most(generator):
    codes = sample_w(generator, range(500, 1000), 1.0)
    _, lengths, directions = torch.linalg.svd(codes - codes.mean(dim=0), full_matrices=False)
    spread = spread_along(generator, directions[:1])
    assert spread.item() == pytest.approx(lengths[0].item() / 499**0.5, rel=0.1)
    assert spread > generator.w_std.max()


def test_public_faces_are_drawn_as_training_draws_by_default():
    config = TrainConfig()
    drawn = Mixture(config.psi_min, config.psi_max, config.mixed_share)
    assert Mixture() == drawn
