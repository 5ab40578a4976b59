"""Where a crop lies in its photo: the inverse of what the aligner cuts out."""

import math

import numpy as np
import pytest
from PIL import Image

from model_core.alignment.ffhq import crop_quad
from model_core.compositing.placement import Placement, shrink, strips


def turned_quad(centre, half, degrees):
    """A square's corners: top left, bottom left, bottom right, top right."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = half * np.array([cos, sin]), half * np.array([-sin, cos])
    c = np.array(centre, float)
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


def smooth_photo(width=400, height=300):
    x, y = np.meshgrid(np.linspace(0, 4, width), np.linspace(0, 3, height))
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)
    return ((waves + 1) * 110 + 10).astype(np.uint8)


@pytest.mark.parametrize("degrees", [0, 25, -140])
@pytest.mark.parametrize("px", [64, 128, 512])
def test_lifting_undoes_the_aligners_crop(degrees, px):
    photo = smooth_photo()
    place = Placement(turned_quad((200, 150), 90, degrees), 400, 300)
    crop = shrink(crop_quad(photo, place.quad, px), place.work_px(px)).astype(np.float32)
    inner = np.zeros((64, 64), np.float32)
    inner[8:-8, 8:-8] = 1
    box = place.box_of(inner)
    left, top, right, bottom = box
    share = place.lift(inner, box)
    back = place.lift(crop, box)
    error = np.abs(back - photo[top:bottom, left:right])[share == 1]
    assert error.mean() < 1.0
    assert error.max() < 6


@pytest.mark.parametrize("half", [30, 140])
def test_dropping_gives_the_aligners_crop(half):
    photo = smooth_photo()
    quad = turned_quad((200, 150), half, 15)
    expected = crop_quad(photo, quad, 128)
    dropped = Placement(quad, 400, 300).drop(photo, 128)
    assert np.abs(dropped.astype(int) - expected)[30:-30, 30:-30].max() <= 4


def test_a_box_is_clipped_to_the_photo_and_dropped_outside_it():
    everything = np.ones((32, 32), np.float32)
    assert Placement(turned_quad((0, 0), 20, 0), 100, 80).box_of(everything)[:2] == (0, 0)
    assert Placement(turned_quad((-60, 0), 20, 0), 100, 80).box_of(everything) is None
    assert Placement(turned_quad((50, 40), 20, 0), 100, 80).box_of(everything * 0) is None


def test_the_work_size_is_the_coarser_of_image_and_photo():
    assert Placement(turned_quad((0, 0), 100, 30), 9, 9).work_px(1024) == 200
    assert Placement(turned_quad((0, 0), 900, 30), 9, 9).work_px(1024) == 1024


def test_strips_cover_a_box_once():
    rows = [row for _, top, _, bottom in strips((3, 5, 9, 1000)) for row in range(top, bottom)]
    assert rows == list(range(5, 1000))


def test_shrinking_averages():
    image = np.asarray(Image.effect_noise((256, 256), 90).convert("RGB"))
    small = shrink(image, 4)
    assert np.abs(small.astype(int) - 128).max() < 12
    assert shrink(image, 256) is image
