"""The directions that are shipped, on faces that they were not fitted to."""

from pathlib import Path

import pytest
import torch

from model_core.alignment.face_finder import FaceFinder
from model_core.latents.directions.effect import measure_effect
from model_core.latents.directions.library import load_directions
from model_core.latents.directions.samples import find_landmarks
from tests.model_core.faces import LANDMARK_MODEL

SHIPPED = Path(__file__).parents[4] / "weights" / "directions"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "wanted", "other"), [("pose", "yaw", "smile"), ("smile", "smile", "yaw")]
)
def test_a_direction_changes_what_it_says_and_little_else(predictor, cache, name, wanted, other):
    finder = FaceFinder(cache / "weights" / LANDMARK_MODEL)

    def measure(ws):
        return find_landmarks(predictor.synthesize(ws[None])[0], finder)

    ws = torch.cat([predictor.sample(seed, 0.7) for seed in (2_000_000, 2_000_001, 2_000_002)])
    change = measure_effect(measure, ws, load_directions(SHIPPED, predictor)[name].step)
    assert change[wanted] > 0.08
    assert abs(change[other]) < change[wanted] / 3
