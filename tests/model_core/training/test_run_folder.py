import dataclasses
import json

import pytest

from model_core.errors import InvalidInputError, ModelMismatchError
from model_core.training.config import TrainConfig
from model_core.training.config_rules import OF_DETAILS
from model_core.training.run_folder import CHANGEABLE, claim, require_config

# Any field alone can have another value here: a generator may be tuned.
WEIGHTS = {"generator": "f" * 64, "head": "a" * 64}
CONFIG = TrainConfig(
    head=False, supervision="photo", generated_share=0.5, mse_weight=1.0, freeze_norms=True
)
# Likewise of what only the detail encoder has.
DETAIL = TrainConfig(
    trained="detail",
    supervision="photo",
    generated_share=0.0,
    mse_weight=1.0,
    loss_px=256,
    compile=False,
)


def other(value):
    """Return another valid value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (0.5, 0.5)
    if isinstance(value, str):
        return "both"
    if isinstance(value, float):
        return value + 0.5
    return value + 1


OTHER = {f.name: other(getattr(CONFIG, f.name)) for f in dataclasses.fields(TrainConfig)}
OTHER["trained"] = "embedding"


def base(name):
    """Return the config in which a field can have another value."""
    return DETAIL if name in {"trained", *OF_DETAILS} else CONFIG


def test_a_new_folder_is_created_with_its_config(tmp_path):
    claim(tmp_path / "runs" / "new", CONFIG, WEIGHTS)
    assert TrainConfig.from_json(tmp_path / "runs" / "new" / "config.json") == CONFIG
    stored = json.loads((tmp_path / "runs" / "new" / "run.json").read_text())
    assert stored == WEIGHTS


@pytest.mark.parametrize("name", sorted(CHANGEABLE))
def test_a_run_resumes_with_other_values_of_changeable_fields(tmp_path, name):
    config = base(name)
    claim(tmp_path, config, WEIGHTS)
    changed = dataclasses.replace(config, **{name: OTHER[name]})
    claim(tmp_path, changed, WEIGHTS)
    assert TrainConfig.from_json(tmp_path / "config.json") == changed


@pytest.mark.parametrize("name", sorted(OTHER.keys() - CHANGEABLE))
def test_other_fields_are_refused_by_name_and_the_stored_config_stays(tmp_path, name):
    config = base(name)
    claim(tmp_path, config, WEIGHTS)
    changed = dataclasses.replace(config, **{name: OTHER[name]})
    with pytest.raises(InvalidInputError, match=rf"\({name} .*another --run folder"):
        claim(tmp_path, changed, WEIGHTS)
    assert TrainConfig.from_json(tmp_path / "config.json") == config


@pytest.mark.parametrize(("name", "was"), [("generator", "ffffffffffff"), ("head", "aaaaaaaaaaaa")])
def test_other_weights_are_refused(tmp_path, name, was):
    claim(tmp_path, CONFIG, WEIGHTS)
    with pytest.raises(ModelMismatchError, match=rf"{name} must be {was}.*, got e+;"):
        claim(tmp_path, CONFIG, WEIGHTS | {name: "e" * 64})
    assert json.loads((tmp_path / "run.json").read_text()) == WEIGHTS


def test_a_folder_without_a_recorded_head_records_it(tmp_path):
    claim(tmp_path, CONFIG, {"generator": "f" * 64})
    claim(tmp_path, CONFIG, WEIGHTS)
    assert json.loads((tmp_path / "run.json").read_text()) == WEIGHTS


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_damaged_note_of_the_generator_is_refused(tmp_path, text):
    claim(tmp_path, CONFIG, WEIGHTS)
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InvalidInputError, match="must name the run's generator"):
        claim(tmp_path, CONFIG, WEIGHTS)


def test_an_empty_folder_takes_any_config(tmp_path):
    require_config(tmp_path, CONFIG)
    assert not list(tmp_path.iterdir())
