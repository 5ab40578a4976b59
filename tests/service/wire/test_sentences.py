"""What pydantic finds wrong, in the words of the other errors."""

import pytest

from service.errors import InvalidRequestError
from service.handlers.body import validate
from service.wire.json_bodies import EditBody, MorphBody
from service.wire.options import ColorizeOptions, EditOptions, EmbedOptions, MorphOptions

DIRECTION = {"direction": "smile"}
PAIRS = "directions must be names with numbers, such as smile:1.5,age:-10"


@pytest.mark.parametrize(
    ("model", "fields", "sentence"),
    [
        (
            EmbedOptions,
            {"no_stroe": "1"},
            "no_stroe is not a field of this request (did you mean no_store?)",
        ),
        (
            EmbedOptions,
            {"Face": "1"},
            "Face is not a field of this request (did you mean face?)",
        ),
        (EmbedOptions, {"xyzzy": "1"}, "xyzzy is not a field of this request"),
        (
            EmbedOptions,
            {"wanted": "code", "return": "image"},
            "wanted is not a field of this request",
        ),
        (EmbedOptions, {"align": "maybe"}, "align must be one of auto, none, got maybe"),
        (EmbedOptions, {"return": "all"}, "return must be one of code, image, both, got all"),
        (
            EmbedOptions,
            {"face": "x"},
            "face must be a number from 0, numbers such as 0,2, or all, got x",
        ),
        (
            EmbedOptions,
            {"face": 1.5},
            "face must be a number from 0, numbers such as 0,2, or all, got 1.5",
        ),
        (
            EmbedOptions,
            {"face": [1, "x"]},
            "face must be a number from 0, numbers such as 0,2, or all, got 1,x",
        ),
        (
            EmbedOptions,
            {"face": "-1"},
            "face must be a number from 0, numbers such as 0,2, or all, got -1",
        ),
        (
            EmbedOptions,
            {"face": "1" * 100},
            f"face must be a number from 0, numbers such as 0,2, or all, got {'1' * 40}...",
        ),
        (EmbedOptions, {"no_store": "perhaps"}, "no_store must be true or false, got perhaps"),
        (MorphOptions, {"lam": "half"}, "lam must be a number, got half"),
        (MorphOptions, {"lam": "nan"}, "lam must be a finite number, got nan"),
        (MorphOptions, {"lam": 1.5}, "lam must be at most 1, got 1.5"),
        (MorphOptions, {"lam": {}}, "lam must be a number, got an object"),
        (
            MorphOptions,
            {"steps": 3, "lam": 1},
            "lam must be omitted when steps is given, got both",
        ),
        (MorphBody, {}, "sources must be given, got none"),
        (MorphBody, {"sources": []}, "sources must have at least 2 items, got 0"),
        (MorphBody, {"sources": [1, 2]}, "sources/0 must be an object, got 1"),
        (
            MorphBody,
            {"sources": [{"latentid": "a"}, {}]},
            "sources/0/latentid is not a field of this request (did you mean latent_id?)",
        ),
        (EditOptions, {}, "direction or directions must be given, got none"),
        (EditOptions, {"direction": None}, "direction or directions must be given, got none"),
        (
            EditOptions,
            DIRECTION | {"directions": "smile:1"},
            "directions must be omitted when direction is given, got both",
        ),
        (
            EditOptions,
            {"directions": "smile:1", "strength": 1},
            "strength must be omitted when directions is given, got both",
        ),
        (EditOptions, {"directions": "smile"}, f"{PAIRS}, got smile"),
        (EditOptions, {"directions": "smile:1,"}, f"{PAIRS}, got empty text"),
        (EditOptions, {"directions": "smile:much"}, f"{PAIRS}, got smile:much"),
        (EditOptions, {"directions": ":2"}, f"{PAIRS}, got :2"),
        (
            EditOptions,
            {"directions": "smile:1,smile:2"},
            "directions must name each direction once, got smile twice",
        ),
        (
            EditOptions,
            {"directions": "smile:nan"},
            "directions/smile must be a finite number, got nan",
        ),
        (EditOptions, {"directions": {"a": "x"}}, "directions/a must be a number, got x"),
        (EditOptions, {"directions": {}}, "directions must have at least 1 items, got an object"),
        (EditOptions, {"directions": [1]}, "directions must be an object, got a list"),
        (EditOptions, {"direction": 3}, "direction must be text, got 3"),
        (EditOptions, {"direction": "x" * 65}, "direction must have at most 64 characters, got 65"),
        (EditBody, DIRECTION | {"code": "no"}, "code must be an object, got no"),
        (EditBody, DIRECTION | {"code": {}}, "code/data must be given, got none"),
        (EditBody, DIRECTION | {"code": {"data": True}}, "code/data must be text, got true"),
        (EditBody, DIRECTION | {"code": [["x"]]}, "code/0/0 must be a number, got x"),
        (ColorizeOptions, {"first_row": 18}, "first_row must be at most 17, got 18"),
    ],
)
def test_each_rule_has_a_message(model, fields, sentence):
    with pytest.raises(InvalidRequestError) as caught:
        validate(model, fields)
    assert str(caught.value) == sentence == caught.value.errors[0]["detail"]


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_values_count_as_absent(empty):
    assert validate(EmbedOptions, {"face": empty, "return": empty}) == EmbedOptions()
    with pytest.raises(InvalidRequestError, match="facee is not a field"):
        validate(EmbedOptions, {"facee": empty})
