import numpy as np
import pytest
import torch

from model_core.latents.directions.calibration import read_calibration
from model_core.latents.directions.effect import Effect
from model_core.latents.directions.measuring import MEASURES
from model_core.latents.directions.sidecars import describe
from model_core.latents.directions.wanted import WANTED, Fit

BY_NAME = {each.name: each for each in WANTED}


def effect(safe=(-2.5, 1.5), **change):
    values = np.zeros(len(MEASURES))
    for name, amount in change.items():
        values[MEASURES.index(name)] = amount
    return Effect(safe, {-2.5: 0.9, 0.0: 1.0, 1.5: 1.0}, values)


EFFECTS = {
    BY_NAME["age"]: effect(age_1=8.0, age_2=10.0, smile=-0.03, glasses=0.2),
    BY_NAME["smile"]: effect(smile=0.15, age_1=2.0, age_2=2.5),
    BY_NAME["glasses"]: effect(glasses=5.0),
}


def described(name):
    fit = Fit(BY_NAME[name], torch.zeros(18, 512), 0.912345, 700)
    return describe(fit, EFFECTS[BY_NAME[name]], EFFECTS)


def test_age_counts_in_years(tmp_path):
    about = described("age")
    assert about["unit"] == "years"
    assert about["deviations_per_unit"] == pytest.approx(1 / 9, abs=1e-5)
    assert about["safe"] == [-22, 13]  # 22.5 and 13.5 years, never beyond what was measured
    assert about["default"] == 13
    # -0.2 of a smile in 9 years; glasses move by less than a tenth.
    assert about["moves_along"] == {"smile": pytest.approx(-0.2 / 9, abs=1e-3)}
    assert read_calibration(tmp_path / "age.npy", about).safe == (-22, 13)


def test_others_count_in_standard_deviations():
    about = described("smile")
    assert about["unit"] == "standard deviations"
    assert about["deviations_per_unit"] == 1
    assert about["safe"] == [-2.5, 1.5]
    assert about["default"] == 1.5
    assert about["moves_along"] == {"age": 2.25}  # years
    assert about["held"] == {"-2.5": 0.9, "+0": 1.0, "+1.5": 1.0}
    assert about["held_out_accuracy"] == 0.912
