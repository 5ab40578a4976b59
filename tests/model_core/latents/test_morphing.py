import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.latents.latent import Detail, Latent
from model_core.latents.morphing import Rows, morph_steps, without_blending


def latent(value, with_detail=False):
    ws = torch.full((18, 512), float(value))
    return Latent(ws, Detail(torch.zeros(4, 8, 8).half(), ws) if with_detail else None)


def test_steps_meet_every_person_exactly():
    people = [latent(value) for value in (0, 1, 5)]
    steps = list(morph_steps(people, 7, Rows()))
    assert [float(step.ws[0, 0]) for step in steps] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1, 7 / 3, 11 / 3, 5]
    )
    assert [step.first for step in steps] == [0, 0, 0, 1, 1, 1, 1]
    for index, person in ((0, 0), (3, 1), (6, 2)):
        assert torch.equal(steps[index].ws, people[person].ws)


def test_rows_outside_the_range_are_the_second_persons():
    (step, *_) = morph_steps([latent(0), latent(1)], 2, Rows(first=8, last=10))
    assert step.ws[:, 0].tolist() == [1.0] * 8 + [0.0] * 3 + [1.0] * 7


@pytest.mark.parametrize(("people", "count"), [(1, 3), (3, 2)])
def test_too_few_people_or_steps_are_refused(people, count):
    with pytest.raises(InvalidInputError, match="at least one a person"):
        list(morph_steps([latent(0)] * people, count, Rows()))


def test_a_detail_is_blended_if_all_rows_are():
    plain, a, b = latent(0), latent(0, with_detail=True), latent(1, with_detail=True)
    ws = Rows().blend(a, b, 0.5)
    assert without_blending(plain, plain, ws, Rows()).detail is None
    assert without_blending(a, plain, ws, Rows()) is None
    assert without_blending(a, b, ws, Rows(last=17)) is None
    assert without_blending(a, b, ws, Rows(first=8)).detail is b.detail
