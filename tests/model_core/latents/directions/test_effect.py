"""Directions judged by a stand-in: a code's first number is the smile, the second the person."""

import numpy as np
import pytest
import torch

from model_core.latents.directions.effect import measure_effect, share_held, similarity
from model_core.latents.directions.measuring import MEASURES, NOTHING, Measured

SMILE = MEASURES.index("smile")


def judge(code):
    """Measure: the smile triples the code; beyond 2.2 another person, beyond 2 upwards no face."""
    smile, person = code[0, 0].item(), code[0, 1].item()
    if smile > 2:
        return NOTHING
    values = np.zeros(len(MEASURES))
    values[SMILE] = 3 * smile
    turn = np.arccos(0.5) if smile < -2.2 else 0.0
    descriptor = np.zeros(1024, np.float32)
    descriptor[:2] = np.cos(turn + person), np.sin(turn + person)
    return Measured(values, descriptor)


@pytest.fixture
def faces():
    ws = torch.zeros(5, 18, 512)
    ws[:, :, 1] = torch.arange(5)[:, None]
    return ws, [judge(code) for code in ws]


def test_the_safe_range_ends_before_faces_do(faces):
    ws, before = faces
    step = torch.zeros(18, 512)
    step[:, 0] = 1
    effect = measure_effect(judge, ws, step, before)
    assert effect.safe == (-2, 2)
    assert effect.held[-2.5] == effect.held[2.5] == effect.held[3] == 0
    assert effect.held[-2] == effect.held[2] == effect.held[0] == 1
    assert min(effect.held) == -3  # nothing beyond is rendered
    assert effect.change[SMILE] == pytest.approx(3)
    assert effect.change.sum() == pytest.approx(3)


def test_a_direction_that_breaks_faces_at_once_has_no_range(faces):
    ws, before = faces
    step = torch.zeros(18, 512)
    step[:, 0] = 10
    effect = measure_effect(judge, ws, step, before)
    assert effect.safe == (0, 0)
    assert sorted(effect.held) == [-1, 0, 1]


def test_missing_faces_are_not_counted():
    one = judge(torch.zeros(18, 512))
    assert similarity(one, one) == pytest.approx(1)
    assert share_held([one, NOTHING], [one, NOTHING]) == 1
    assert share_held([one, one], [one, NOTHING]) == 0.5
    stranger = judge(torch.full((18, 512), 2.0))
    assert similarity(one, stranger) < 0
    assert share_held([one, one], [one, stranger]) == 0.5
