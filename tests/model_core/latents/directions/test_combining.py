import pytest
import torch

from model_core.latents.directions.calibration import Calibration
from model_core.latents.directions.combining import (
    DirectionRangeError,
    UnknownDirectionError,
    combined_step,
)
from model_core.latents.directions.library import Direction

DIRECTIONS = {
    "age": Direction(
        torch.full((18, 512), 0.1), Calibration("Age", "years", 0.1, (-20.0, 25.0), 15.0)
    ),
    "light": Direction(torch.full((18, 512), 2.0), Calibration("Light")),
}


def test_steps_add_up_and_defaults_fill_in():
    step = combined_step(DIRECTIONS, {"age": None, "light": -1.0})
    assert torch.allclose(step, torch.full((18, 512), 15 * 0.1 - 2.0))


def test_an_unknown_direction_is_named_with_the_known_ones():
    with pytest.raises(UnknownDirectionError, match=r"^name must be one of age, light, got hair$"):
        combined_step(DIRECTIONS, {"hair": 1.0}, name="name")


@pytest.mark.parametrize(
    ("asked", "unsafe", "said", "allowed"),
    [
        ({"age": 26.0}, False, "^age must be from -20 to 25 years, got 26$", True),
        ({"age": 101.0}, True, "^age must be from -100 to 100 years, got 101$", False),
        ({"light": -11.0}, False, "^light must be from -10 to 10 standard deviations", False),
        ({"light": float("nan")}, True, "^light must be from", False),
    ],
)
def test_values_out_of_range_are_refused(asked, unsafe, said, allowed):
    with pytest.raises(DirectionRangeError, match=said) as refused:
        combined_step(DIRECTIONS, asked, unsafe)
    assert refused.value.allowed_if_unsafe is allowed


def test_unsafe_allows_what_is_outside_the_safe_range():
    step = combined_step(DIRECTIONS, {"age": 30.0}, unsafe=True)
    assert torch.allclose(step, torch.full((18, 512), 3.0))
