import pytest
import torch

from model_core.evaluation.scoring import Scorer, higher_is_better
from model_core.metrics.identity import SAME_PERSON_SIMILARITY

MEASURES = ["mse", "psnr_db", "ssim"]


def towards(img):
    """A descriptor for tests: its angle is the brightness."""
    angle = img.mean(dim=(1, 2, 3))
    return torch.stack([angle.cos(), angle.sin()], dim=1)


@pytest.fixture
def face():
    return torch.full((1, 3, 32, 32), -0.5)


@pytest.mark.parametrize("offset", [-0.01, 0.01])
def test_one_person_is_a_similarity_at_or_above_the_threshold(face, offset):
    judge = Scorer(towards, [])
    assert judge.measures == [*MEASURES, "identity_similarity", "same_person"]
    angle = torch.tensor(SAME_PERSON_SIMILARITY).acos() + offset
    figures = judge.against(face)(face + angle).tolist()
    assert figures[3] == pytest.approx(angle.cos().item(), abs=1e-4)
    assert figures[4] == (offset < 0)


def test_without_a_judge_its_two_figures_are_left_out(face):
    judge = Scorer(None, [], {"other": towards})
    assert judge.measures == [*MEASURES, "other_similarity"]
    assert not judge.judges_identity
    assert judge.against(face)(face + 0.5).tolist()[3] == pytest.approx(0.8776, abs=1e-3)


def test_similarity_is_better_the_higher_it_is():
    names = ["identity_similarity", "same_person", "other_similarity", "mse", "st-lpips-vgg"]
    assert [higher_is_better(name) for name in names] == [True, True, True, False, False]
