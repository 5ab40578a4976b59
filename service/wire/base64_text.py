"""Base64 as callers write it: either alphabet, with or without padding, broken into lines, or in a
data: URL.
"""

import base64
import binascii
import re
from urllib.parse import unquote

LINE_BREAKS = re.compile(r"[ \t]*[\r\n]\s*")
FOREIGN = re.compile(r"[^A-Za-z0-9+/]")
DATA_URL = re.compile(r"data:([^,]*),", re.IGNORECASE)
URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://", re.IGNORECASE)
URL_SAFE = str.maketrans("-_", "+/")
QUOTED_BYTES = ("b'", 'b"')


def read_base64(text: str) -> bytes:
    """Decode base64.

    Standard and URL-safe alphabets are accepted; padding may be missing, lines may be broken, and
    the text may be a `data:` URL.

    Raises:
        ValueError: If the text is something else; the message ends the sentence "<name> must be
            base64, got ...".
    """
    text = text.strip()
    data_url = DATA_URL.match(text)
    if data_url:
        if not data_url[1].rstrip().lower().endswith(";base64"):
            raise ValueError("a data: URL that is not base64")
        text = unquote(text[data_url.end() :]).strip()
    elif URL.match(text):
        raise ValueError("a URL: nothing is fetched here, so send the file itself")
    elif text.startswith(QUOTED_BYTES):
        raise ValueError("the text of a Python bytes object: call .decode() on it")
    letters = LINE_BREAKS.sub("", text).translate(URL_SAFE)
    body = letters.rstrip("=")
    foreign = FOREIGN.search(body)
    if foreign:
        raise ValueError(_reason(foreign[0], foreign.start()))
    if len(body) % 4 == 1 or len(letters) - len(body) > 2:
        raise ValueError(f"text that is cut off: {len(body)} characters")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError) as err:
        raise ValueError(str(err)) from err


def _reason(character: str, place: int) -> str:
    if character == " ":
        return f"a space at {place}: was a + sent in a form without being percent-encoded?"
    if character == "=":
        return f"padding in its middle, at {place}"
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return f"{shown} at {place}"
