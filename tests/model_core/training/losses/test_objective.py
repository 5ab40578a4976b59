import dataclasses

import pytest
import torch

from model_core.inversion.rendering import SmallImages
from model_core.perceptual.stlpips import Perceptual
from model_core.training.losses.code_losses import SensitivityLoss, StyleLoss
from model_core.training.losses.identity import PersonDescriber
from model_core.training.losses.objective import Objective
from tests.model_core.training import tiny


class Counted(Perceptual):
    """A distance that counts how often it is asked for."""

    name = "counted"
    asked = 0

    def features(self, img):
        self.asked += 1
        return [img]


def make(generator, **weights):
    config = dataclasses.replace(tiny.COLLABORATIVE, pair_images=True, **weights)
    style = StyleLoss(generator, torch.ones(generator.num_ws))
    sensitivity = SensitivityLoss(torch.ones(1, generator.num_ws, generator.w_dim))
    images = SmallImages(generator, 64, dtype=torch.float32)
    person = PersonDescriber(tiny.MeanColour())
    return Objective(config, style, sensitivity, generator.w_std, images, Counted(), person)


@pytest.mark.parametrize(("weighed", "asked"), [("mse", 0), ("lpips", 2), ("identity", 0)])
def test_terms_with_weight_zero_are_not_computed(generator, weighed, asked):
    names = ("style", "sensitivity", "latent", "mse", "lpips", "identity")
    objective = make(generator, **{f"{name}_weight": 3.0 * (name == weighed) for name in names})
    ws = generator.w_mean.repeat(2, generator.num_ws, 1)
    target = torch.zeros(2, 3, 64, 64)
    assert objective.codes(ws, ws + 1) == {}
    terms = objective.images(ws, target)
    assert terms.keys() == {weighed}
    assert objective.perceptual.asked == asked
    assert objective.total(terms) == pytest.approx(3 * terms[weighed].item())


def test_every_term_is_weighted(generator):
    weights = {
        "style": 1.0,
        "sensitivity": 2.0,
        "latent": 3.0,
        "mse": 4.0,
        "lpips": 5.0,
        "identity": 6.0,
    }
    objective = make(generator, **{f"{name}_weight": value for name, value in weights.items()})
    ws = generator.w_mean.repeat(2, generator.num_ws, 1)
    terms = objective.codes(ws, ws + 1) | objective.images(ws, torch.zeros(2, 3, 64, 64))
    expected = sum(weights[name] * terms[name].item() for name in weights)
    assert objective.total(terms).item() == pytest.approx(expected, rel=1e-5)
