import os

import pytest

from model_core.skipped import printable, skipped_lines, summary


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a b.jpg", "a b.jpg"),
        ("a\tb", r"a\tb"),
        ("a\nb", r"a\nb"),
        (r"a\nb", r"a\\nb"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        (r"caf\xe9.jpg", r"caf\\xe9.jpg"),
        ("café.jpg", "café.jpg"),
    ],
)
def test_a_name_stays_on_its_line_and_differs_from_others(name, line):
    assert printable(name) == line


def test_each_photo_has_a_line_with_the_reason():
    lines = skipped_lines({"a.jpg": "no face\n  was\tfound", "b.jpg": "damaged"})
    assert lines == "a.jpg\tno face was found\nb.jpg\tdamaged\n"


def test_the_list_is_named_only_if_it_has_photos():
    assert summary(3, 0, "aligned") == "3 of 3 photos aligned"
    assert summary(3, 1, "aligned") == "2 of 3 photos aligned; skipped.tsv lists the others"
