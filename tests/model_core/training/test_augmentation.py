import torch

from model_core.training.augmentation import augment
from model_core.training.pairs import seeded


def test_nothing_asked_changes_nothing():
    img = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.equal(augment(img, 0.0, 0.0, seeded(0, "step", 0)), img)


def test_light_changes_within_its_bound_and_stays_in_range():
    img = torch.rand(64, 3, 8, 8) * 2 - 1
    out = augment(img, 0.1, 0.0, seeded(0, "step", 0))
    assert 0 < (out - img).abs().max() <= 0.1 + 0.1 + 0.1 / 3 + 0.01
    assert out.abs().max() <= 1


def test_poor_images_lose_detail():
    img = torch.rand(8, 3, 32, 32) * 2 - 1
    out = augment(img, 0.0, 1.0, seeded(0, "step", 0))
    assert (out.diff(dim=3).abs().mean() < 0.5 * img.diff(dim=3).abs().mean()).all()


def test_the_same_randomness_makes_the_same_images():
    img = torch.rand(4, 3, 32, 32)
    first, second = (augment(img, 0.1, 0.5, seeded(0, "step", 1)) for _ in range(2))
    assert torch.equal(first, second)
