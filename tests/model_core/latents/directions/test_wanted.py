"""Fits to made-up codes whose measures grow with known components."""

import numpy as np
import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.latents.directions.measuring import MEASURES
from model_core.latents.directions.wanted import WANTED, fit_all

COUNT, DIM = 400, 40
AT = {name: i for i, name in enumerate(MEASURES)}
COMPONENT = AT | {"age_2": AT["age_1"], "man_2": AT["man_1"]}  # two estimates of one thing


@pytest.fixture(scope="module")
def drawn():
    """Codes and measures; the smile opens the mouth, men are older, and so are glasses."""
    random = torch.Generator().manual_seed(0)
    w = torch.randn(COUNT, DIM, generator=random)
    table = np.stack([w[:, COMPONENT[name]].numpy() for name in MEASURES], axis=1).astype(float)
    table[:, AT["mouth_open"]] += table[:, AT["smile"]]
    for name in ("age_1", "age_2"):
        table[:, AT[name]] = 40 + 12 * (table[:, AT[name]] + 0.5 * table[:, AT["glasses"]])
    for name in ("man_1", "man_2"):
        table[:, AT[name]] = 1 / (1 + np.exp(-4 * table[:, AT[name]]))
    return w, table


def fit(drawn, *names):
    return fit_all(*drawn, 18, names)


def test_every_direction_follows_its_measure_and_moves_its_rows(drawn):
    fits = fit(drawn, *(each.name for each in WANTED))
    assert [each.wanted for each in fits] == list(WANTED)
    for each in fits:
        first, last = each.wanted.rows
        assert each.direction.shape == (18, DIM)
        assert each.direction[first : last + 1].any(dim=1).all()
        assert not each.direction[:first].any()
        assert not each.direction[last + 1 :].any()
        strongest = each.direction[first].argmax().item()
        assert strongest == COMPONENT[each.wanted.measures[0]], each.wanted.name
        assert each.accuracy > 0.8, each.wanted.name


def test_a_direction_leaves_what_it_is_conditioned_on(drawn):
    mouth, age = (each.direction[4] for each in fit(drawn, "mouth_open", "age"))
    assert abs(mouth[COMPONENT["smile"]] / mouth.norm()) < 0.1
    assert abs(age[COMPONENT["glasses"]] / age.norm()) < 0.1


def test_undetected_faces_do_not_count(drawn):
    w, table = drawn
    gaps = table.copy()
    gaps[300:] = np.nan
    few, some = fit((w[:300], table[:300]), "smile"), fit((w, gaps), "smile")
    assert torch.allclose(few[0].direction, some[0].direction)
    assert some[0].samples == 300


def test_ages_that_disagree_do_not_count(drawn):
    w, table = drawn
    apart = table.copy()
    apart[:100, MEASURES.index("age_2")] += 30
    (age,) = fit((w, apart), "age")
    assert age.samples == COUNT - 100


def test_beards_are_fitted_to_men(drawn):
    _, table = drawn
    men = table[:, MEASURES.index("man_1")] > 0.5
    adult = table[:, MEASURES.index("age_1")] >= 18
    (beard,) = fit(drawn, "beard")
    assert beard.samples == (men & adult).sum() < COUNT


def test_too_few_faces_are_refused(drawn):
    w, table = drawn
    with pytest.raises(InvalidInputError, match="samples must be 50 or more, got 49"):
        fit((w[:49], table[:49]), "pose")
