import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from model_core.errors import CheckpointError, ModelMismatchError
from model_core.latents.directions.library import load_directions

SPREAD = 0.25


@pytest.fixture
def space():
    """A space of 4 rows of 3, in which the codes spread evenly, but for the last component."""

    def spread(directions):
        return torch.where(directions[:, 2] != 0, 2 * SPREAD, SPREAD)

    return SimpleNamespace(fingerprint="f" * 64, num_ws=4, w_dim=3, spread=spread)


def test_one_row_moves_all_rows_by_one_standard_deviation(tmp_path, space):
    np.save(tmp_path / "age.npy", np.array([0.0, 300.0, 0.0]))
    step = load_directions(tmp_path, space)["age"].step
    assert step.dtype == torch.float32
    assert torch.equal(step, torch.tensor([[0.0, SPREAD, 0.0]]).expand(4, 3))


def test_of_many_rows_the_furthest_moves_by_one_standard_deviation(tmp_path, space):
    rows = torch.tensor([[2.0, 0, 0], [1, 0, 0], [0, 0, 3], [0, 0, 0]])
    save_file({"anything": rows.half()}, tmp_path / "hair.safetensors")
    step = load_directions(tmp_path, space)["hair"].step
    # Row 0 has 8 spreads, row 2 has 6: the file as a whole is scaled by the former.
    assert torch.allclose(step, rows / 8)


def test_the_length_in_the_file_does_not_matter(tmp_path, space):
    rows = np.random.default_rng(0).standard_normal((4, 3))
    np.save(tmp_path / "short.npy", rows / 1000)
    np.save(tmp_path / "long.npy", rows * 1000)
    steps = load_directions(tmp_path, space)
    assert torch.allclose(steps["short"].step, steps["long"].step)


def test_other_files_are_ignored(tmp_path, space):
    (tmp_path / "README.md").write_text("notes")
    assert load_directions(tmp_path, space) == {}


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (np.ones(4), r"must have shape \[3\] or \[4, 3\], got \[4\]"),
        (np.ones((3, 4)), r"got \[3, 4\]"),
        (np.ones(3, np.int64), "finite floats"),
        (np.array([1, np.nan, 0]), "finite floats"),
        (np.zeros(3), "not all 0"),
        (np.array([{}, 1, 2], object), "without objects"),
    ],
)
def test_a_file_that_is_not_a_direction_is_refused(tmp_path, space, values, rule):
    np.save(tmp_path / "bad.npy", values)
    with pytest.raises(CheckpointError, match=rf"bad\.npy.*{rule}"):
        load_directions(tmp_path, space)


@pytest.mark.parametrize("name", ["bad.npy", "bad.safetensors"])
def test_damaged_files_are_refused(tmp_path, space, name):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="bad"):
        load_directions(tmp_path, space)


def test_a_file_of_two_tensors_is_refused(tmp_path, space):
    save_file({"a": torch.ones(3), "b": torch.ones(3)}, tmp_path / "two.safetensors")
    with pytest.raises(CheckpointError, match="one tensor"):
        load_directions(tmp_path, space)


def test_two_files_of_one_name_are_refused(tmp_path, space):
    np.save(tmp_path / "age.npy", np.ones(3))
    save_file({"age": torch.ones(3)}, tmp_path / "age.safetensors")
    with pytest.raises(CheckpointError, match="different names, got age, age"):
        load_directions(tmp_path, space)


def test_a_sidecar_that_names_another_generator_refuses(tmp_path, space):
    np.save(tmp_path / "age.npy", np.ones(3))
    for owner in ({}, {"generator": "f" * 64}):
        (tmp_path / "age.json").write_text(json.dumps(owner))
        assert "age" in load_directions(tmp_path, space)
    (tmp_path / "age.json").write_text(json.dumps({"generator": "0" * 64}))
    with pytest.raises(ModelMismatchError, match="000000000000"):
        load_directions(tmp_path, space)


def test_a_missing_folder_is_refused(tmp_path, space):
    with pytest.raises(CheckpointError, match="nowhere"):
        load_directions(tmp_path / "nowhere", space)


def test_a_sidecar_sets_the_unit_and_how_far_faces_hold(tmp_path, space):
    np.save(tmp_path / "age.npy", np.array([0.0, 1.0, 0.0]))
    about = {"unit": "years", "deviations_per_unit": 0.1, "safe": [-20, 25], "title": "Age"}
    (tmp_path / "age.json").write_text(json.dumps(about))
    age = load_directions(tmp_path, space)["age"]
    assert torch.allclose(age.step, torch.tensor([[0.0, SPREAD / 10, 0.0]]).expand(4, 3))
    known = age.calibration
    assert (known.title, known.unit, known.safe) == ("Age", "years", (-20, 25))
    assert (known.default, known.furthest) == (20, (-100, 100))
    assert age.rows == (0, 3)


def test_without_a_sidecar_only_the_limit_holds(tmp_path, space):
    rows = np.zeros((4, 3))
    rows[1:3] = 1
    np.save(tmp_path / "hair.npy", rows)
    hair = load_directions(tmp_path, space)["hair"]
    assert (hair.calibration.safe, hair.calibration.held) == (None, (-10, 10))
    assert hair.rows == (1, 2)


@pytest.mark.parametrize(
    ("about", "rule"),
    [
        ({"safe": [1]}, "safe of age.npy must be two numbers"),
        ({"safe": [1, 2]}, "must include 0"),
        ({"safe": [-1, "2"]}, "must be a finite number, got 2"),
        ({"deviations_per_unit": 0}, "must be above 0"),
        ({"default": True}, "default of age.npy must be a finite number"),
        ({"moves_along": [1]}, "must be an object"),
    ],
)
def test_a_damaged_calibration_is_refused(tmp_path, space, about, rule):
    np.save(tmp_path / "age.npy", np.ones(3))
    (tmp_path / "age.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match=rule):
        load_directions(tmp_path, space)
