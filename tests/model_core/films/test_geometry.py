from fractions import Fraction

import numpy as np
import pytest

from model_core.errors import UnsupportedFilmError
from model_core.films.geometry import Geometry, _orientation

ONE = 1 << 16
CORNERS = np.arange(6, dtype=np.uint8).reshape(2, 3)[..., None].repeat(3, 2)
"""Two rows, three columns."""


def shown(a, b, c, d):
    turns, mirrored = _orientation([a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30])
    return Geometry((3, 2), turns, mirrored).upright(CORNERS)[..., 0].tolist()


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), [[0, 1, 2], [3, 4, 5]]),
        ((0, 1, -1, 0), [[3, 0], [4, 1], [5, 2]]),  # stored x goes down: clockwise
        ((-1, 0, 0, -1), [[5, 4, 3], [2, 1, 0]]),
        ((0, -1, 1, 0), [[2, 5], [1, 4], [0, 3]]),
        ((-1, 0, 0, 1), [[2, 1, 0], [5, 4, 3]]),
        ((1, 0, 0, -1), [[3, 4, 5], [0, 1, 2]]),
        ((0, 1, 1, 0), [[0, 3], [1, 4], [2, 5]]),
        ((0, -1, -1, 0), [[5, 2], [4, 1], [3, 0]]),
    ],
)
def test_the_display_matrix_says_where_a_stored_pixel_is_shown(matrix, expected):
    assert shown(*matrix) == expected


def test_other_angles_are_refused():
    with pytest.raises(UnsupportedFilmError, match="quarter turns"):
        _orientation([46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30])


def test_pixels_become_square():
    wide = Geometry((720, 576), pixel_aspect=Fraction(16, 11))
    assert wide.shown == (1047, 576)
    assert not wide.is_plain
    assert Geometry((720, 576), 1, pixel_aspect=Fraction(1, 2)).shown == (1152, 720)
    assert Geometry((720, 576)).is_plain
