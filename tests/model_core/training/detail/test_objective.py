import dataclasses

import pytest
import torch
from torch.nn import functional as F

from model_core.training.detail.objective import DetailObjective, weigh_face
from model_core.training.losses.identity import PersonDescriber
from tests.model_core.training.detail import tiny
from tests.model_core.training.tiny import MeanColour, PixelDistance


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(2, 3, 256, 256) * 2 - 1, torch.rand(2, 3, 256, 256) * 2 - 1


def test_the_terms_are_those_of_the_docstring_and_are_weighted(images):
    img, photos = images
    config = dataclasses.replace(
        tiny.CONFIG, margin_weight=1.0, mse_weight=1.0, lpips_weight=0.4, detail_weight=0.003
    )
    objective = DetailObjective(config, PixelDistance(), PersonDescriber(MeanColour()))
    detail = torch.full((2, 4, 8, 8), 2.0)
    terms = objective(detail, img, photos)
    mse = (img - photos).square().mean()
    colours = (img.mean((2, 3)) - photos.mean((2, 3))).square().sum(1).mean()
    expected = {"mse": mse, "lpips": 3 * mse, "identity": 4 * colours, "detail": 4.0}
    assert {k: float(v) for k, v in terms.items()} == pytest.approx(
        {k: float(v) for k, v in expected.items()}, rel=1e-4
    )
    total = mse + 0.4 * 3 * mse + 0.1 * 4 * colours + 0.003 * 4
    assert float(objective.total(terms)) == pytest.approx(float(total), rel=1e-4)


def test_terms_of_weight_zero_are_not_computed(images):
    config = dataclasses.replace(
        tiny.CONFIG, lpips_weight=0.0, identity_weight=0.0, detail_weight=0.0
    )
    objective = DetailObjective(config, PixelDistance(), PersonDescriber(MeanColour()))
    assert objective(torch.ones(2, 4, 8, 8), *images).keys() == {"mse"}


def test_the_face_counts_more_than_the_margin():
    importance = weigh_face(256, 0.6)[0, 0]
    assert importance[128, 128] == pytest.approx(1, abs=1e-3)
    assert importance[0, 0] == pytest.approx(0.6, abs=1e-2)
    assert torch.allclose(importance, importance.flip(1))
    assert torch.equal(weigh_face(256, 1.0), torch.ones(1, 1, 256, 256))


def test_targets_are_enlarged_to_the_rendered_size(images):
    """Grain whose means over pixels are the photo's is seen at full size alone."""
    _, photos = images
    config = dataclasses.replace(tiny.CONFIG, margin_weight=1.0, full_size_weight=2.0)
    objective = DetailObjective(config, PixelDistance(), PersonDescriber(MeanColour()))
    enlarged = F.interpolate(photos, (512, 512), mode="bicubic", align_corners=False)
    grain = torch.ones(2, 2)
    grain[0, 0] = grain[1, 1] = -1
    grainy = enlarged + grain.repeat(256, 256)
    detail = torch.zeros(2, 4, 8, 8)
    for large, expected in ((enlarged, 0.0), (grainy, 1.0)):
        small = F.adaptive_avg_pool2d(large, 256)
        terms = objective(detail, small, photos, large)
        assert float(terms["full_size"]) == pytest.approx(expected, abs=1e-5)
    assert "full_size" not in objective(detail, small, photos)
