"""The command on real weights, with measures that are made up: few faces need rendering."""

import numpy as np
import pytest

from model_core.generators.sampling import sample_w
from model_core.latents.directions.__main__ import PSI, main
from model_core.latents.directions.library import load_directions
from model_core.latents.directions.measuring import MEASURES
from model_core.networks.loading import load_generator
from model_core.weights.cache import weight_path
from model_core.weights.store import load_network

COUNT = 150  # enough, though made-up estimates of gender often disagree


@pytest.fixture
def judges(cache):
    """The cache, if it has what measures faces."""
    for name in ("faceres", "faceres-heads", "age-v1", "gender-v1"):
        if not weight_path(cache, name).is_file():
            pytest.skip(f"{name} is not there: python -m model_core.checkpoints pull {name}")
    return cache


@pytest.mark.slow
def test_directions_are_written_with_their_effects(judges, predictor, tmp_path, capsys):
    generator, fingerprint = load_generator(judges)
    w = sample_w(generator, range(COUNT), PSI)
    known = tmp_path / "measures.npy"
    np.save(known, np.stack([w[:, i].numpy() for i in range(len(MEASURES))], axis=1).astype(float))
    out, sheets = tmp_path / "out", tmp_path / "sheets"
    flags = ["fit", "--count", str(COUNT), "--judged", "1", "--only", "smile", "mouth_open"]
    flags += ["--out", str(out), "--measures", str(known), "--sheets", str(sheets)]
    assert main(flags, judges) == 0
    said = capsys.readouterr().out
    for name in ("smile", "mouth_open"):
        state, sidecar = load_network(out / f"{name}.safetensors", verify=True)
        assert state["direction"].shape == (18, 512)
        assert sidecar["generator"] == fingerprint
        assert sidecar["change_per_deviation"].keys() == set(MEASURES)
        assert f"{name}: accuracy" in said
        assert (sheets / f"{name}.jpg").is_file()
    assert load_directions(out, predictor).keys() == {"smile", "mouth_open"}


def test_a_file_without_measures_is_an_error(judges, tmp_path, capsys):
    other = tmp_path / "other.npy"
    np.save(other, np.zeros(3))
    flags = ["fit", "--out", str(tmp_path / "out"), "--measures", str(other)]
    assert main(flags, judges) == 1
    assert f"{len(MEASURES)} measures" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
