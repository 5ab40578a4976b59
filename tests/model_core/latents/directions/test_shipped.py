"""The directions that are shipped, on a face that they were not fitted to."""

import json

import pytest
import torch

from model_core.latents.directions.effect import similarity
from model_core.latents.directions.library import load_directions
from model_core.latents.directions.measuring import MEASURES, Measurer, column
from model_core.latents.directions.wanted import WANTED
from model_core.latents.editing import move
from model_core.metrics.identity import SAME_PERSON_SIMILARITY
from model_core.weights.cache import weight_path
from model_core.weights.files import file_digest, read_sidecar
from model_core.weights.shipped import DIRECTIONS

SEED = 2_000_000
KNOWN = {each.name: each for each in WANTED}
FILES = sorted(DIRECTIONS.glob("*.safetensors"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_file_and_its_sidecar_belong_together(file):
    sidecar = read_sidecar(file)
    assert sidecar["sha256"] == file_digest(file)
    assert sidecar["name"] == file.stem
    wanted = KNOWN[file.stem]
    assert sidecar["title"] == wanted.title
    assert sidecar["safe"][0] < 0 < sidecar["default"] <= sidecar["safe"][1]
    assert sidecar["change_per_deviation"].keys() == set(MEASURES)
    # Its own attribute grows along it.
    assert sum(sidecar["change_per_deviation"][name] for name in wanted.measures) > 0
    assert sidecar["moves_along"].keys() <= KNOWN.keys() - {file.stem}
    json.dumps(sidecar, allow_nan=False)


@pytest.fixture(scope="module")
def judge(predictor, cache):
    """Renders and measures a code."""
    for name in ("faceres", "faceres-heads", "age-v1", "gender-v1"):
        if not weight_path(cache, name).is_file():
            pytest.skip(f"{name} is not there: python -m model_core.checkpoints pull {name}")
    measurer = Measurer(cache)
    return lambda ws: measurer(predictor.synthesize(ws[None])[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_at_the_ends_of_the_safe_range_the_face_holds_and_has_changed(predictor, judge, name):
    direction = load_directions(DIRECTIONS, predictor)[name]
    ws = predictor.sample(SEED, 0.7)
    before = judge(ws[0])
    low, high = (
        judge(move(ws, direction.step, end)[0]) for end in direction.calibration.safe or ()
    )
    for moved in (low, high):
        assert moved.found
        assert similarity(before, moved) >= SAME_PERSON_SIMILARITY - 0.05
    (change,) = column((high.values - low.values)[None], *KNOWN[name].measures)
    assert change > 0
    assert torch.isfinite(direction.step).all()
