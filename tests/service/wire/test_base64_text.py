"""Base64 in every dialect that callers write, and what is none."""

import base64
import textwrap
from urllib.parse import quote

import pytest

from service.wire.base64_text import read_base64

DATA = bytes(range(256)) * 3 + b"?"  # with + and / among its letters, and padding
TEXT = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        base64.encodebytes(DATA).decode(),
        base64.encodebytes(DATA).decode().replace("\n", "\r\n"),
        textwrap.indent(base64.encodebytes(DATA).decode(), "    "),
        base64.urlsafe_b64encode(DATA).decode(),
        TEXT.rstrip("="),
        f"  {TEXT}\n",
        f"data:image/jpeg;base64,{TEXT}",
        f"data:;base64,{TEXT}",
        f"data:image/jpeg;charset=utf-8;base64, {TEXT}",
        f"DATA:image/jpeg;BASE64,{TEXT}",
        f"data:image/jpeg;base64,{quote(TEXT, safe='')}",
    ],
)
def test_every_base64_variant_is_read(text):
    assert "+" in TEXT
    assert "/" in TEXT
    assert TEXT.endswith("=")
    assert read_base64(text) == DATA


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://example.org/photo.jpg", "a URL: nothing is fetched"),
        ("file:///tmp/photo.jpg", "a URL: nothing is fetched"),
        ("data:image/svg+xml,%3Csvg/%3E", "a data: URL that is not base64"),
        (repr(TEXT.encode()), r"call \.decode\(\) on it"),
        (TEXT.replace("+", " "), "was a \\+ sent in a form"),
        ("photo.jpg", r"\. at 5"),
        ("QUJD\0QUJD", r"U\+0000 at 4"),
        ("QUI=QUJD", "padding in its middle"),
        ("QUJDQ", "cut off: 5 characters"),
        ("QUJD===", "cut off"),
    ],
)
def test_invalid_base64_is_refused_with_a_reason(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_base64(text)


def test_empty_text_gives_no_bytes():
    assert read_base64("") == b""
