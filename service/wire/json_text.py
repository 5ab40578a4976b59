"""JSON as callers send it: UTF-8, or with a byte order mark, which some editors write."""

import json
from typing import Any

BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def read_json(text: str | bytes) -> Any:
    """Read JSON in which no object repeats a member.

    Bytes may be UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Raises:
        ValueError: If it is something else; the message ends the sentence "<name> must be JSON,
            got ...".
    """
    if isinstance(text, str):
        text = text.removeprefix(BYTE_ORDER_MARK)
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as err:
        cut_off = err.msg.startswith("Unterminated") or err.pos >= len(err.doc.rstrip())
        raise ValueError(
            f"{'text that is cut off' if cut_off else 'other text'} "
            f"({err.msg} at line {err.lineno}, column {err.colno})"
        ) from err
    except UnicodeError as err:
        raise ValueError("bytes that are not UTF-8 text") from err
    except RecursionError as err:
        raise ValueError("too many levels of brackets") from err


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"an object with {name[:64]!r} twice")
        members[name] = value
        for text in (name, value):
            if isinstance(text, str) and not text.isascii():
                text.encode()  # a lone surrogate, which no answer could repeat, is an error here
    return members
