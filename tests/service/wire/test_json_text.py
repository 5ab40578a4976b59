"""JSON in every encoding that editors write, and what is none."""

import json

import pytest

from service.wire.json_text import read_json

VALUE = {"name": "Zoë", "rows": [1, 2.5, None]}
TEXT = json.dumps(VALUE, ensure_ascii=False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_every_encoding_is_read(encoding):
    assert read_json(TEXT.encode(encoding)) == VALUE
    assert read_json("\ufeff" + TEXT) == VALUE == read_json(TEXT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TEXT[:-1], "cut off"),
        (b'{"image": "AAAA', "cut off"),
        (b"", "cut off"),
        (b"<html>", "other text"),
        (b'{"a": 1}{', "other text"),
        (b"\xff\xfe\xfd", "not UTF-8 text"),
        (b'{"a": "\\ud800"}', "not UTF-8 text"),
        (b'{"\\ud800": 1}', "not UTF-8 text"),
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', "'c' twice"),
        (b"[" * 100_000, "too many levels"),
        (b"1" * 5000, "limit"),
    ],
)
def test_invalid_json_is_refused_with_a_reason(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_json(text)
