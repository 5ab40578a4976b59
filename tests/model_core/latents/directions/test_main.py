"""The command on real weights, with landmarks that are made up: few faces need rendering."""

import numpy as np
import pytest
import torch

from model_core.generators.sampling import sample_w
from model_core.latents.directions.__main__ import fit_both, main
from model_core.networks.loading import load_generator
from model_core.weights.store import load_network
from tests.model_core.latents.directions.landmarks import face

COUNT = 60


@pytest.fixture(scope="module")
def drawn(cache):
    """Codes, and landmarks of faces that turn with one component and smile with another."""
    generator, fingerprint = load_generator(cache)
    w = sample_w(generator, range(COUNT), 0.7)
    turns, smiles = ((w[:, i] - w[:, i].mean()) / w[:, i].std() for i in (3, 200))
    rows = [face(turn.item(), smile.item()) for turn, smile in zip(turns, smiles, strict=True)]
    return w, np.stack(rows), fingerprint


def test_what_was_not_found_does_not_count(drawn):
    w, landmarks, _ = drawn
    gaps = landmarks.copy()
    gaps[50:] = np.nan
    some, fewer = fit_both(w[:50], landmarks[:50], 18), fit_both(w, gaps, 18)
    for a, b in zip(some, fewer, strict=True):
        assert torch.allclose(a.direction, b.direction)


def test_smile_is_conditioned_on_pose_and_colours_stay(drawn):
    pose, smile = (fit.direction for fit in fit_both(*drawn[:2], 18))
    assert (pose[0] @ smile[0]).abs() < 1e-5
    assert not pose[8:].any()
    assert not smile[8:].any()
    assert pose[0, 3] > 0
    assert smile[0, 200] > 0


@pytest.mark.slow
def test_both_directions_are_written_with_what_they_change(cache, drawn, tmp_path, capsys):
    known = tmp_path / "landmarks.npy"
    np.save(known, drawn[1])
    out = tmp_path / "out"
    flags = ["fit", "--count", str(COUNT), "--judged", "1", "--backend", "openvino"]
    assert main([*flags, "--out", str(out), "--landmarks", str(known)], cache) == 0
    said = capsys.readouterr().out
    for name in ("pose", "smile"):
        state, sidecar = load_network(out / f"{name}.safetensors", verify=True)
        assert state["direction"].shape == (18, 512)
        assert sidecar["generator"] == drawn[2]
        assert sidecar["change_per_unit"].keys() == {"yaw", "smile"}
        assert f"{name}: accuracy" in said


def test_a_file_that_holds_no_landmarks_is_told(cache, tmp_path, capsys):
    other = tmp_path / "other.npy"
    np.save(other, np.zeros(3))
    flags = ["fit", "--out", str(tmp_path / "out"), "--landmarks", str(other)]
    assert main([*flags, "--backend", "eager"], cache) == 1
    assert "68 points" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
