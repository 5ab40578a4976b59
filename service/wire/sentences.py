"""What pydantic finds wrong with a field, as a sentence in the style of the other errors."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MAX_SHOWN = 40  # characters of a value that a message repeats
KNOWN_INSIDE = ("image", "code", "latent_id", "data", "shape", "dtype", "encoding", "fingerprint")
NEAR = 0.6

Context = Mapping[str, Any]
RULES: dict[str, Callable[[Context], str]] = {
    "missing": lambda _: "be given",
    "greater_than": lambda c: f"be above {c['gt']:.15g}",
    "greater_than_equal": lambda c: f"be at least {c['ge']:.15g}",
    "less_than": lambda c: f"be below {c['lt']:.15g}",
    "less_than_equal": lambda c: f"be at most {c['le']:.15g}",
    "finite_number": lambda _: "be a finite number",
    "literal_error": lambda c: "be one of " + c["expected"].replace("'", "").replace(" or ", ", "),
    "int_parsing": lambda _: "be a whole number",
    "int_type": lambda _: "be a whole number",
    "int_from_float": lambda _: "be a whole number",
    "int_parsing_size": lambda _: "be a whole number with fewer digits",
    "float_parsing": lambda _: "be a number",
    "float_type": lambda _: "be a number",
    "bool_parsing": lambda _: "be true or false",
    "bool_type": lambda _: "be true or false",
    "string_type": lambda _: "be text",
    "string_too_long": lambda c: f"have at most {c['max_length']} characters",
    "too_long": lambda c: f"have at most {c['max_length']} items",
    "too_short": lambda c: f"have at least {c['min_length']} items",
    "list_type": lambda _: "be a list",
    "model_type": lambda _: "be an object",
    "model_attributes_type": lambda _: "be an object",
    "dict_type": lambda _: "be an object",
}


def sentence_of(error: Mapping[str, Any], name: str, known: Iterable[str] = ()) -> str:
    """Say what is wrong with a field.

    Args:
        error: As pydantic lists it, with its context and input where these are known.
        name: The field, as the caller knows it; empty for the whole request.
        known: The fields that exist, for a hint if one is misspelt.
    """
    kind, message = error["type"], error["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return f"{name} is not a field of this request{_hint(name, known)}"
    if kind not in RULES:
        return message if kind == "value_error" or not name else f"{name}: {message}"
    rule = RULES[kind](error.get("ctx", {}))
    got = "none" if kind == "missing" else _shown(error.get("input"), kind)
    return f"{name or 'request'} must {rule}{got and f', got {got}'}"


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.rpartition("/")[2].lower(), known, n=1, cutoff=NEAR)
    return f" (did you mean {near[0]}?)" if near else ""


def _shown(value: object, kind: str) -> str:
    """Repeat a value, or describe its kind if it is long."""
    if isinstance(value, list):
        return f"{len(value)}" if kind.startswith("too_") else "a list"
    if isinstance(value, dict):
        return "an object"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if not text:
        return "empty text"
    if kind == "string_too_long":
        return f"{len(text)}"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
