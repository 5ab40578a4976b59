"""The option `face`: one, several or all."""

import pytest

from service.errors import InvalidRequestError
from service.handlers.body import validate
from service.wire.options import EditOptions, EmbedOptions, MorphOptions, RefineOptions

RULE = "face must be a number from 0, numbers such as 0,2, or all, got "
WHOLE = {"output": "photo"}


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        (0, 0),
        ("3", 3),
        (1.0, 1),
        ("all", "all"),
        ("0,2", (0, 2)),
        ("2,0,2", (2, 0)),
        ([1, 4], (1, 4)),
        ("5,5", 5),
        ("", 0),
    ],
)
def test_choices_are_read(value, choice):
    assert validate(EmbedOptions, WHOLE | {"face": value}).face == choice


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("x", RULE + "x"),
        (1.5, RULE + "1.5"),
        ("-1", RULE + "-1"),
        ("0,", RULE + "0,"),
        ([], RULE),
        ([1, "x"], RULE + "1,x"),
        ({"a": 1}, RULE + "{'a': 1}"),
        ("1" * 100, RULE + "1" * 40 + "..."),
        ("1001", "face must be at most 1000, got 1001"),
        (",".join(map(str, range(17))), "face must name at most 16 faces, got 17"),
        (list(range(90)), "face must name at most 16 faces, got 17"),
    ],
)
def test_other_values_are_refused(value, sentence):
    with pytest.raises(InvalidRequestError) as refused:
        validate(EmbedOptions, WHOLE | {"face": value})
    assert str(refused.value) == sentence
    assert refused.value.errors[0]["pointer"] == "#/face"


@pytest.mark.parametrize("options", [EmbedOptions, MorphOptions, RefineOptions])
@pytest.mark.parametrize("value", ["all", "0,2"])
def test_several_faces_need_a_whole_photo(options, value):
    with pytest.raises(InvalidRequestError, match="one number unless output is photo, got "):
        validate(options, {"face": value})


def test_a_blend_needs_a_whole_photo():
    fields = {"direction": "smile", "blend": "render"}
    with pytest.raises(InvalidRequestError, match="blend must be omitted unless output is photo"):
        validate(EditOptions, fields)
    assert validate(EditOptions, fields | WHOLE).blend == "render"


def test_next_to_a_whole_photo_others_give_their_largest_face():
    assert validate(EmbedOptions, {"face": 2}).rank == 2
    assert validate(EmbedOptions, WHOLE | {"face": 2}).rank == 0
