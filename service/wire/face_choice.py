"""The option `face`: one face by its rank, several, or all of them."""

import re
from typing import Annotated, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from model_core.alignment.face_finder import MAX_FACES

LARGEST_INDEX = 1000
CHOICE = re.compile(r"\d{1,4}( *, *\d{1,4})*", re.ASCII)
SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": LARGEST_INDEX},
        {"type": "string", "pattern": r"^(all|\d+(,\d+)*)$"},
    ]
}


def read_choice(value: object) -> "int | tuple[int, ...] | Literal['all']":
    """Read one rank, ranks with commas between them, or `all`; repeated ranks count once.

    Raises:
        ValueError: If it is none of these, or names too many faces.
    """
    if isinstance(value, tuple):  # validated before
        return value
    text = str(value).strip() if isinstance(value, str | int) else ""
    if text == "all":
        return "all"
    if isinstance(value, bool) or not CHOICE.fullmatch(text):
        shown = text[:40] or type(value).__name__
        raise ValueError(f"face must be a number from 0, numbers such as 0,2, or all, got {shown}")
    ranks = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    if max(ranks) > LARGEST_INDEX:
        raise ValueError(f"face must be at most {LARGEST_INDEX}, got {max(ranks)}")
    if len(ranks) > MAX_FACES:
        raise ValueError(f"face must name at most {MAX_FACES} faces, got {len(ranks)}")
    return ranks[0] if len(ranks) == 1 else ranks


FaceChoice = Annotated[
    int | tuple[int, ...] | Literal["all"],
    PlainValidator(read_choice),
    PlainSerializer(lambda choice: choice, return_type=object),
    WithJsonSchema(SCHEMA),
]
