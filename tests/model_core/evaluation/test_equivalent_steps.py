import pytest
import torch

from model_core.evaluation.equivalent_steps import equivalent_steps
from model_core.evaluation.records import Record

MEASURES = ["mse", "st-lpips-vgg", "identity_similarity"]


def record(rows, start_s=0.1, step_s=0.0):
    return Record(
        steps=[*range(len(rows) - 1), 50],
        figures=torch.tensor(rows),
        marks=[0],
        images=torch.zeros(1, 3, 2, 2, dtype=torch.uint8),
        ws=torch.zeros(1, 1, 1),
        start_s=start_s,
        step_s=step_s,
        total_s=0.0,
    )


def test_the_first_step_that_is_as_good_counts():
    fast = record([[0.5, 0.9, 0.1], [0.3, 0.8, 0.2], [0.2, 0.7, 0.3], [0.1, 0.0, 0.9]], step_s=2.0)
    slow = record([[0.7, 0.9, 0.1], [0.5, 0.8, 0.2], [0.4, 0.7, 0.3], [0.1, 0.0, 0.9]], step_s=2.0)
    one_pass = record([[0.3, 0.5, 0.15], [9.0, 9.0, 9.0]])
    mse, vgg, identity = equivalent_steps(MEASURES, [one_pass] * 3, [fast, slow])
    assert (mse.measure, mse.steps) == ("mse", 2)
    assert mse.one_pass == pytest.approx(0.3)
    assert mse.ratio == pytest.approx(2 * 2.0 / 0.1)
    # Face by face: one step, and more than the two that were measured one by one.
    assert (mse.by_face.low, mse.by_face.high) == (1, 3)
    assert (vgg.steps, vgg.ratio) == (None, None)
    assert identity.steps == 1


def test_other_recognisers_count_too():
    one_pass = record([[0.1, 0.1, 0.5, 0.3], [0.0, 0.0, 0.9, 0.9]])
    iterator = record([[0.2, 0.2, 0.1, 0.1], [0.1, 0.1, 0.6, 0.4], [0.0, 0.0, 0.9, 0.9]])
    found = equivalent_steps([*MEASURES, "arcface_similarity"], [one_pass], [iterator])
    assert found[-1].measure == "arcface_similarity"
    assert found[-1].steps == 1


def test_a_pass_no_better_than_the_start_equals_no_steps():
    start = record([[0.5, 0.9, 0.1], [0.3, 0.8, 0.2], [0.2, 0.7, 0.3]], step_s=2.0)
    found = equivalent_steps(MEASURES, [record([[0.6, 1.0, 0.0], [0.0, 0.0, 0.0]])], [start])
    assert [row.steps for row in found] == [0, 0, 0]
