"""The photos that a run over a folder has skipped: their list, and a line about it."""

import os
from collections.abc import Mapping

SKIPPED = "skipped.tsv"

_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def printable(name: str) -> str:
    r"""Return a file's name for one line of a table: two names never become one.

    Backslashes, tabs and line ends are escaped, and bytes that are not UTF-8, as in \xe9.
    """
    return os.fsencode(name.translate(_ESCAPED)).decode("utf-8", "backslashreplace")


def skipped_lines(reasons: Mapping[str, str]) -> str:
    """Return the contents of the list: each photo's `printable` name, and why it was skipped."""
    return "".join(f"{name}\t{_one_line(why)}\n" for name, why in reasons.items())


def summary(total: int, skipped: int, done: str) -> str:
    """Say how many photos of a run are done, and where the others are listed."""
    others = f"; {SKIPPED} lists the others" if skipped else ""
    return f"{total - skipped} of {total} photos {done}{others}"


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
