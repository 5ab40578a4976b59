import dataclasses
import json
import subprocess
import sys

import pytest

from model_core.errors import InvalidInputError
from model_core.training.config import TrainConfig, presets


def test_every_preset_loads():
    assert "pretrain" in presets()
    for preset in presets():
        assert TrainConfig.load(preset).steps > 0


def test_flags_override_the_preset():
    config = TrainConfig.load(
        "pretrain", {"steps": "7", "betas": "0.5,0.9", "compile": "false", "lr": "1e-3"}
    )
    assert (config.steps, config.betas, config.compile, config.lr) == (7, (0.5, 0.9), False, 1e-3)


def test_json_is_read_back(tmp_path):
    config = TrainConfig.load("pretrain", {"seed": 5})
    (tmp_path / "config.json").write_text(config.to_json())
    assert TrainConfig.from_json(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stepz": 1}, "stepz"),
        ({"steps": "many"}, "steps must be of type int, got 'many'"),
        ({"steps": 0}, "steps must be 1 or more, got 0"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"validation_pairs": 0}, "validation_pairs must be 1 or more"),
        ({"batch": 9, "shards": 2}, "batch must be a multiple of the 2 shards, got 9"),
        ({"replay": 0.5}, "replay must be 1 or more"),
        ({"compile": "perhaps"}, "compile must be of type bool"),
        ({"tune_identity": True, "disentangled": False}, "tune_identity must be false without"),
    ],
)
def test_bad_options_are_named(overrides, message):
    with pytest.raises(InvalidInputError, match=message):
        TrainConfig.load("pretrain", overrides)


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("detail", {"trained": "both"}, "trained must be one of"),
        ("detail", {"generated_share": 1.0}, "generated_share must leave each shard a photograph"),
        (
            "detail",
            {"generated_share": 0.5, "pair_images": True},
            "pair_images must be False when trained is detail",
        ),
        ("detail", {"generated_share": 0.1}, "generated_share must be 0 or give each shard a pair"),
        ("detail", {"supervision": "both"}, "supervision must be photo when trained is detail"),
        ("detail", {"jitter": 0.1}, "jitter must be 0.0 when trained is detail, got 0.1"),
        ("detail", {"loss_px": 128}, "loss_px must be 256 when trained is detail, got 128"),
        ("detail", {"compile": True}, "compile must be False when trained is detail"),
        ("detail", {"true_every": -1}, "true_every must be 0 or more"),
        ("photos", {"margin_weight": 0.5}, "margin_weight must be 1.0 when trained is embedding"),
        ("photos", {"true_every": 3}, "true_every must be 0 when trained is embedding, got 3"),
    ],
)
def test_settings_of_the_other_network_are_refused(preset, overrides, message):
    with pytest.raises(InvalidInputError, match=message):
        TrainConfig.load(preset, overrides)


COLLABORATIVE = TrainConfig.load("default")


@pytest.mark.parametrize("supervision", ["iterator", "both"])
@pytest.mark.parametrize("name", ["jitter", "degrade_share", "photo_light", "photo_warp"])
def test_photos_are_only_flipped_under_iterator_supervision(name, supervision):
    change = {name: 0.1, "supervision": supervision}
    with pytest.raises(InvalidInputError, match=f"under iterator supervision, .* got {name} 0.1"):
        dataclasses.replace(COLLABORATIVE, **change)
    for without in ({"supervision": "photo"}, {"generated_share": 1.0}):
        changed = dataclasses.replace(COLLABORATIVE, **(change | without))
        assert getattr(changed, name) == 0.1


def test_statistics_are_frozen_after_pretraining():
    with pytest.raises(
        InvalidInputError, match="freeze_norms must be true under iterator supervision"
    ):
        dataclasses.replace(COLLABORATIVE, freeze_norms=False)
    assert not TrainConfig.load("photos").freeze_norms
    assert not TrainConfig.load("pretrain").freeze_norms


TUNED = {
    "freeze_norms": True,
    "tune_generator": True,
    "head": False,
    "supervision": "photo",
    "generated_share": 0.5,
    "mse_weight": 1.0,
}


def test_the_generator_is_tuned_if_photographs_reach_it():
    assert TrainConfig(**TUNED).tune_generator


@pytest.mark.parametrize(
    "change",
    [{"head": True}, {"supervision": "iterator"}, {"generated_share": 1.0}, {"mse_weight": 0.0}],
)
def test_tuning_without_an_image_loss_is_refused(change):
    with pytest.raises(InvalidInputError, match="tune_generator must be false unless"):
        TrainConfig(**(TUNED | change))


@pytest.mark.parametrize(
    "change", [{"generated_share": 0.0}, {"mse_weight": 0.0, "lpips_weight": 0.0}]
)
def test_pair_images_without_an_image_loss_is_refused(change):
    photos = TrainConfig.load("photos", {"pair_images": True})
    assert photos.pair_images
    with pytest.raises(InvalidInputError, match="pair_images must be false without"):
        dataclasses.replace(photos, **change)


NOTHING = {"mse_weight": 0.0, "lpips_weight": 0.0}
NO_CODES = {"style_weight": 0.0, "sensitivity_weight": 0.0, "latent_weight": 0.0}


@pytest.mark.parametrize(
    ("preset", "change", "message"),
    [
        ("photos", NOTHING, "one of mse_weight, .* must be above 0 .* supervision photo"),
        ("default", NOTHING | NO_CODES | {"generated_share": 0.0}, "or one of style_weight"),
        ("pretrain", NO_CODES, "one of style_weight, .* must be above 0, or pair_images true"),
        ("photos", NO_CODES, "one of style_weight, .* must be above 0, or pair_images true"),
    ],
)
def test_photos_without_a_loss_are_refused(preset, change, message):
    with pytest.raises(InvalidInputError, match=message):
        TrainConfig.load(preset, change)


@pytest.mark.parametrize(
    ("preset", "change"),
    [
        ("default", NOTHING),  # the iterator's codes teach
        ("photos", NO_CODES | {"pair_images": True}),
        ("photos", NO_CODES | {"generated_share": 0.0, "mse_weight": 0.0}),
    ],
)
def test_one_weight_for_all_images_of_a_run_will_do(preset, change):
    assert TrainConfig.load(preset, change)


def test_settings_are_read_without_the_networks():
    program = "import sys, model_core.training.config; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_stored_config_without_newer_fields_has_their_defaults(tmp_path):
    values = json.loads(TrainConfig(seed=5).to_json())
    newer = ("disentangled", "identity", "tune_generator", "generator_lr", "perceptual")
    for name in (*newer, "pair_images"):
        del values[name]
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert TrainConfig.from_json(tmp_path / "config.json") == TrainConfig(seed=5)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"betas": [0.9, 0.99], "stepz": 1}'])
def test_a_file_that_is_not_a_config_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InvalidInputError, match="must be a training config"):
        TrainConfig.from_json(tmp_path / "config.json")


def test_an_unknown_preset_error_lists_the_known_ones():
    with pytest.raises(InvalidInputError, match="pretrain"):
        TrainConfig.load("nothing")
