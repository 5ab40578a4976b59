import os

import pytest

from model_core.printable import one_line, printable


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


def test_prose_has_its_line_ends_replaced_by_spaces():
    assert one_line("no face\n  was\tfound") == "no face was found"
