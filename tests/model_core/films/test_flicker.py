import numpy as np
import pytest

from model_core.films.flicker import Flicker, FlickerMeter

QUAD = np.array([[20.0, 20], [20, 120], [120, 120], [120, 20]])


def frames(*shades):
    return [np.full((140, 140, 3), shade, np.uint8) for shade in shades]


def measured(source, edited, numbers=None):
    from model_core.alignment.ffhq import crop_quad

    meter = FlickerMeter()
    pairs = zip(frames(*source), frames(*edited), strict=True)
    for i, (a, b) in zip(numbers or range(len(source)), pairs, strict=True):
        meter.add(i, QUAD, crop_quad(a, QUAD), b)
    return meter.total


def test_an_edit_that_keeps_still_has_the_source_s_flicker():
    assert measured((10, 12, 11), (60, 62, 61)).ratio == pytest.approx(1)


def test_one_that_does_not_has_more():
    assert measured((10, 12, 10), (60, 66, 60)).ratio == pytest.approx(3)


def test_only_consecutive_frames_are_compared():
    assert measured((10, 12, 50, 52), (10, 12, 50, 52), (0, 1, 5, 6)).source == pytest.approx(4)


def test_without_change_there_is_no_ratio():
    assert measured((10, 10), (10, 10)).ratio is None
    assert (Flicker(1.0, 2.0) + Flicker(3.0, 2.0)).ratio == 1
