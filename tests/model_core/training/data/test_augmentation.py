import pytest
import torch

from model_core.generators.sampling import seeded
from model_core.training.data.augmentation import augment, vary


def test_no_variation_changes_nothing():
    img = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.equal(augment(img, 0.0, 0.0, seeded(0, "step", 0)), img)


def test_light_changes_within_its_bound_and_stays_in_range():
    img = torch.rand(64, 3, 8, 8) * 2 - 1
    out = augment(img, 0.1, 0.0, seeded(0, "step", 0))
    assert 0 < (out - img).abs().max() <= 0.1 + 0.1 + 0.1 / 3 + 0.01
    assert out.abs().max() <= 1


def test_degraded_images_lose_detail():
    img = torch.rand(8, 3, 32, 32) * 2 - 1
    out = augment(img, 0.0, 1.0, seeded(0, "step", 0))
    assert (out.diff(dim=3).abs().mean() < 0.5 * img.diff(dim=3).abs().mean()).all()


def test_the_same_randomness_makes_the_same_images():
    img = torch.rand(4, 3, 32, 32)
    first, second = (augment(img, 0.1, 0.5, seeded(0, "step", 1)) for _ in range(2))
    assert torch.equal(first, second)


def test_a_photograph_without_variation_is_unchanged():
    img = torch.rand(2, 3, 32, 32) * 2 - 1
    random = seeded(0, "step", 0)
    assert vary(img, 0.0, 0.0, random) is img
    assert torch.equal(random.get_state(), seeded(0, "step", 0).get_state())


def test_a_photographs_warp_does_not_depend_on_its_light_changes():
    ramp = torch.linspace(-0.5, 0.5, 64).expand(4, 3, 64, 64)
    still, lit = (vary(ramp, light, 0.05, seeded(0, "step", 0)) for light in (0.0, 0.2))
    for a, b in zip(still, lit, strict=True):
        assert torch.corrcoef(torch.stack([a[0].flatten(), b[0].flatten()]))[0, 1] > 0.9999


@pytest.mark.parametrize("axis", [2, 3], ids=["vertical", "horizontal"])
def test_a_photograph_is_warped_within_its_bounds(axis):
    ramp = torch.linspace(-1, 1, 64).expand(16, 3, 64, 64)  # each pixel says its place
    ramp = ramp.transpose(3, axis)
    out = vary(ramp, 0.0, 0.05, seeded(0, "step", 0))
    inside = (slice(None), slice(None), slice(8, 56), slice(8, 56))
    assert 0.01 < (out - ramp)[inside].abs().max() <= 3 * 0.05
    assert (out - ramp).mean(dim=(1, 2, 3)).std() > 0.001  # each its own way
    centre = (out - ramp)[:, :, 31:33, 31:33].mean(dim=(1, 2, 3))  # shifted and nothing else
    assert 0.01 < centre.abs().max() < 0.05 + 1e-3


def test_a_photograph_changes_in_light_and_colour_and_not_in_what_it_shows():
    img = torch.rand(16, 3, 8, 8) - 0.5
    out = vary(img, 0.2, 0.0, seeded(0, "step", 0))
    assert (out - img).abs().max() > 0.1
    same = torch.corrcoef(
        torch.stack([out.mean(dim=1).flatten(1)[0], img.mean(dim=1).flatten(1)[0]])
    )
    assert same[0, 1] > 0.99
    shades = (img - img.mean(dim=1, keepdim=True)).flatten(1).norm(dim=1)
    varied = (out - out.mean(dim=1, keepdim=True)).flatten(1).norm(dim=1)
    assert (varied / shades).std() > 0.05
