"""What one pass and the search that comes as far are said to cost."""

import pytest
import torch
from one_pass import row

from model_core.evaluation.records import Record


def record(figures, start_s=0.0, step_s=0.0):
    return Record(
        steps=[*range(len(figures))],
        figures=torch.tensor(figures)[:, None],
        marks=[0],
        images=torch.zeros(1, 3, 2, 2, dtype=torch.uint8),
        ws=torch.zeros(1, 1, 1),
        start_s=start_s,
        step_s=step_s,
        total_s=0.0,
    )


def test_steps_are_counted_until_the_mean_figure_is_as_good():
    passes = [record([0.3], start_s=0.1), record([0.5], start_s=0.3)]
    searches = [record([0.9, 0.6, 0.2], step_s=1.0), record([0.9, 0.8, 0.6], step_s=3.0)]
    found = row("both", passes, searches)
    assert found["st-lpips-vgg"] == pytest.approx(0.4)
    assert found["equivalent steps"] == "2"
    assert (found["one pass, ms"], found["per step, ms"]) == (pytest.approx(200), 2000)
    assert (found["all steps, s"], found["ratio"]) == ("4", "20")


def test_a_search_that_never_catches_up_takes_more_steps_than_tried():
    found = row("0", [record([0.1], start_s=0.5)], [record([0.9, 0.8, 0.7], step_s=1.0)])
    assert found["equivalent steps"] == "more than 2"
    assert (found["all steps, s"], found["ratio"]) == ("more than 2", "more than 4")
