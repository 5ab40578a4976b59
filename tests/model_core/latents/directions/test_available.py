import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model_core.latents.directions.available import read_directions
from model_core.weights.shipped import DIRECTIONS

SHIPPED = {path.stem for path in DIRECTIONS.glob("*.safetensors")}


def space(fingerprint):
    return SimpleNamespace(
        fingerprint=fingerprint, num_ws=18, w_dim=512, spread=lambda rows: torch.ones(len(rows))
    )


@pytest.fixture
def owner():
    """The generator that the shipped directions are for."""
    return json.loads((DIRECTIONS / "pose.json").read_text())["generator"]


def test_shipped_directions_move_the_rows_that_they_list(owner):
    directions = read_directions(None, space(owner))
    assert directions.keys() == SHIPPED >= {"age", "pose", "smile"}
    for direction in directions.values():
        first, last = direction.rows
        assert direction.step.shape == (18, 512)
        assert direction.step[first : last + 1].any(dim=1).all()
        assert not direction.step[last + 1 :].any()
        assert not direction.step[:first].any()


def test_shipped_directions_are_calibrated(owner):
    for name, direction in read_directions(None, space(owner)).items():
        known = direction.calibration
        assert known.safe is not None, name
        assert known.safe[0] < 0 < known.safe[1], name
        assert known.safe[0] <= known.default <= known.safe[1], name
        assert known.description, name
        assert known.measured_by, name


def test_an_operators_own_directions_take_precedence(owner, tmp_path):
    for name in ("age", "pose"):
        np.save(tmp_path / f"{name}.npy", np.ones(512))
    directions = read_directions(tmp_path, space(owner))
    assert directions.keys() == SHIPPED | {"age", "pose"}
    assert torch.equal(directions["pose"].step, directions["age"].step)


def test_directions_of_another_generator_are_left_out(tmp_path, caplog):
    np.save(tmp_path / "age.npy", np.ones(512))
    with caplog.at_level(logging.WARNING):
        assert read_directions(tmp_path, space("0" * 64)).keys() == {"age"}
    assert "skipping the shipped directions" in caplog.text
