import numpy as np
import pytest
import torch
from PIL import Image

from model_core.training.losses.identity import load_describer


@pytest.fixture(scope="module")
def describer(cache):
    return load_describer(cache, "dlib-resnet29", torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def faces(predictor):
    """Two faces of one person, the second dimmed, and one of another."""
    first, second = (predictor.synthesize(predictor.sample(seed, 0.7))[0] for seed in (1, 2))
    small = [np.array(Image.fromarray(face).resize((256, 256))) for face in (first, second)]
    one, other = (torch.from_numpy(face).permute(2, 0, 1)[None] / 127.5 - 1 for face in small)
    return one, one * 0.8, other


def test_a_person_is_more_similar_to_themselves_than_to_a_stranger(describer, faces):
    one, dimmed, other = faces
    same = describer.distance(dimmed, one)
    assert same < 0.2 < 0.3 < describer.distance(other, one)
    assert describer.distance(one, one) == pytest.approx(0, abs=1e-6)


def test_images_of_the_losses_size_are_described_alike(describer, faces):
    one, _, other = faces
    small = torch.nn.functional.adaptive_avg_pool2d(one, 128)
    away = (describer(small) - describer(one)).square().sum()
    assert away < 0.5 * describer.distance(other, one).sum()


def test_gradients_reach_the_image_and_not_the_target(describer, faces):
    img = faces[0].clone().requires_grad_(True)
    target = faces[2].clone().requires_grad_(True)
    describer.distance(img, target).sum().backward()
    assert img.grad.abs().max() > 0
    assert target.grad is None
    assert all(not p.requires_grad for p in describer.parameters())
