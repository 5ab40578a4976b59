"""The option `face`: one face by its rank, several, or all of them."""

import re
from typing import Annotated, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from model_core.alignment.face_finder import MAX_FACES

LARGEST_INDEX = 1000
MAX_SHOWN = 40  # characters of a value that a message repeats
CHOICE = re.compile(r"[0-9]{1,4}(,[0-9]{1,4})*")
SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": LARGEST_INDEX},
        {"type": "string", "pattern": "^(all|[0-9]{1,4}(,[0-9]{1,4}){0,15})$"},
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": LARGEST_INDEX},
            "minItems": 1,
            "maxItems": MAX_FACES,
        },
    ]
}


def read_choice(value: object) -> "int | tuple[int, ...] | Literal['all']":
    """Read one rank, a list of them or text with commas, or `all`; repeated ranks count once.

    Raises:
        ValueError: If it is none of these, or names too many faces.
    """
    if isinstance(value, list | tuple):
        text = ",".join(map(str, value[: MAX_FACES + 1]))
    else:
        # JSON's 1.0 is an integer.
        is_integer = isinstance(value, float) and value.is_integer()
        text = f"{value:.0f}" if is_integer else str(value)
    if text == "all":
        return "all"
    if not CHOICE.fullmatch(text):
        shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
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
