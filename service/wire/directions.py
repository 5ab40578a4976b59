"""Directions as requests name them, and as GET /directions lists them."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

MAX_DIRECTIONS = 24
MAX_TEXT = 2000
RULE = "directions must be names with numbers, such as smile:1.5,age:-10"


def _split(value: Any) -> Any:
    """Read `smile:1.5,age:-10`; leave anything but text to pydantic."""
    if not isinstance(value, str):
        return value
    if len(value) > MAX_TEXT:
        raise ValueError(f"directions must have at most {MAX_TEXT} characters, got {len(value)}")
    values: dict[str, float] = {}
    for part in value.split(","):
        name, colon, number = (each.strip() for each in part.rpartition(":"))
        if not colon or not name:
            raise ValueError(f"{RULE}, got {part.strip()[:40] or 'empty text'}")
        if name in values:
            raise ValueError(f"directions must name each direction once, got {name[:40]} twice")
        try:
            values[name] = float(number)
        except ValueError:
            raise ValueError(f"{RULE}, got {part.strip()[:40]}") from None
    return values


Name = Annotated[str, Field(max_length=64)]
Value = Annotated[float, Field(allow_inf_nan=False)]
Directions = Annotated[
    dict[Name, Value],
    Field(min_length=1, max_length=MAX_DIRECTIONS),
    BeforeValidator(_split, json_schema_input_type=str | dict[str, Value]),
]


class DirectionObject(BaseModel):
    """An attribute that /edit can change."""

    name: str = Field(description="What requests call it.", examples=["age"])
    title: str = Field(description="A name for people.", examples=["Age"])
    unit: str = Field(
        description="What its values count.", examples=["years", "standard deviations"]
    )
    safe: tuple[float, float] = Field(
        description="Lowest and highest value without `unsafe`: within them, measured faces stay "
        "the same person. For a direction that was not measured, the lowest and highest of all."
    )
    calibrated: bool = Field(description="Whether the safe range was measured.")
    furthest: tuple[float, float] = Field(description="Lowest and highest value with `unsafe`.")
    default: float = Field(description="The value that `direction` without `strength` takes.")
    rows: tuple[int, int] = Field(description="First and last row of the code that it moves.")
    moves_along: dict[str, float] = Field(
        description="How far one unit moves other attributes, in their directions' units."
    )
    description: str = Field(description="What it changes, in a sentence.")
    measured_by: str = Field(description="What measured the attribute when it was fitted.")


class DirectionsAnswer(BaseModel):
    """Answer of GET /directions."""

    directions: list[DirectionObject] = Field(description="All of them, by name.")
