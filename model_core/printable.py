"""Text of any bytes on one line of a table."""

import os

_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def printable(name: str) -> str:
    r"""Return a file's name for one line of a table: two names never become one.

    Backslashes, tabs and line ends are escaped, and bytes that are not UTF-8, as in \xe9.
    """
    return os.fsencode(name.translate(_ESCAPED)).decode("utf-8", "backslashreplace")


def one_line(text: str) -> str:
    """Return prose on one line."""
    return printable(" ".join(text.split()))
