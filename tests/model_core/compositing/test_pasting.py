"""Pasting faces: what changes, what stays, and that the seam does not show."""

import cv2
import numpy as np
import pytest

from model_core.compositing.pasting import (
    STILL_PX,
    choose_blend,
    movement_px,
    render,
    transfer,
)
from model_core.compositing.placement import Placement
from tests.model_core.compositing.test_placement import turned_quad

SIDE = 256


def textured(width, height, seed=0):
    """A photo with fine texture on soft shapes."""
    rng = np.random.default_rng(seed)
    soft = cv2.resize(rng.integers(60, 190, (6, 6, 3), np.uint8), (width, height))
    return np.clip(soft.astype(int) + rng.integers(-12, 13, soft.shape), 0, 255).astype(np.uint8)


def drawn_face(mouth=20, shift=0):
    """A face of sorts: eyes and a mouth, all of which `shift` moves."""
    image = cv2.resize(textured(32, 32, 1), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    for x in (96, 160):
        cv2.circle(image, (x + shift, 110), 12, (20, 20, 30), -1)
    cv2.ellipse(image, (128 + shift, 180), (30, mouth), 0, 0, 180, (150, 30, 30), -1)
    return cv2.GaussianBlur(image, (0, 0), 1)


def unchanged(photo, before, pasted):
    """Whether every pixel without a share of the new face has its bytes."""
    outside = np.ones(photo.shape[:2], bool)
    if pasted.box is not None:
        left, top, right, bottom = pasted.box
        outside[top:bottom, left:right] = pasted.opacity == 0
    return outside.any() and np.array_equal(photo[outside], before[outside])


QUADS = {
    "inside": turned_quad((300, 250), 120, 12),
    "over the edge": turned_quad((20, 30), 120, -20),
    "finer than the render": turned_quad((300, 250), 240, 5),
    "tiny": turned_quad((300, 250), 9, 0),
}


@pytest.mark.parametrize("name", QUADS)
@pytest.mark.parametrize("blend", ["transfer", "render"])
def test_pixels_outside_the_opacity_keep_their_bytes(name, blend):
    photo = textured(640, 480)
    before = photo.copy()
    old, new = drawn_face(), drawn_face(mouth=40)
    if blend == "transfer":
        pasted = transfer(photo, QUADS[name], old, new)
    else:
        pasted = render(photo, QUADS[name], new, old)
    assert pasted.blend == blend
    assert unchanged(photo, before, pasted)
    assert not np.array_equal(photo, before)


def test_transfer_changes_only_what_the_edit_changes():
    photo = textured(640, 480)
    before = photo.copy()
    quad = QUADS["inside"]
    transfer(photo, quad, drawn_face(), drawn_face(mouth=40))
    changed = Placement(quad, 640, 480).drop((photo != before).astype(np.uint8) * 255, SIDE)
    assert changed[190:215, 110:146].mean() > 128  # below the old mouth
    assert changed[:150].max() == 0  # eyes and brow


def test_transfer_adds_the_difference_and_keeps_the_texture():
    photo = textured(640, 480)
    before = photo.astype(int)
    old = np.full((SIDE, SIDE, 3), 100, np.uint8)
    pasted = transfer(photo, QUADS["inside"], old, old + 30)
    left, top, right, bottom = pasted.box
    whole = pasted.opacity > 0.99
    step = photo[top:bottom, left:right].astype(int) - before[top:bottom, left:right]
    assert whole.sum() > 10_000
    assert np.array_equal(np.unique(step[whole]), [30])


def test_an_edit_without_effect_does_not_change_the_photo():
    photo = textured(640, 480)
    before = photo.copy()
    pasted = transfer(photo, QUADS["inside"], drawn_face(), drawn_face())
    assert pasted.box is None
    assert np.array_equal(photo, before)


def seam(photo, before, pasted):
    """Mean step across the line where the opacity begins, of the result and of the photo."""
    left, top, right, bottom = pasted.box
    inside = pasted.opacity > 0
    across = inside[:, 1:] != inside[:, :-1]
    steps = [
        np.abs(np.diff(image[top:bottom, left:right].astype(int), axis=1))[across].mean()
        for image in (photo, before)
    ]
    return steps[0], steps[1]


def test_no_seam_shows_though_the_render_is_brighter_than_the_photo():
    photo = textured(640, 480)
    before = photo.copy()
    quad = QUADS["inside"]
    crop = Placement(quad, 640, 480).drop(photo, SIDE)
    brighter = np.clip(crop.astype(int) + 12, 0, 255).astype(np.uint8)
    pasted = render(photo, quad, brighter)
    result, own = seam(photo, before, pasted)
    assert result < 1.1 * own
    left, top, right, bottom = pasted.box
    region = (slice(top, bottom), slice(left, right))
    whole = pasted.opacity > 0.99
    drift = photo[region].astype(int)[whole].mean() - before[region].astype(int)[whole].mean()
    assert abs(drift) < 3  # its colours are matched to the photo's


def test_render_replaces_the_face():
    photo = textured(640, 480)
    quad = QUADS["inside"]
    new = drawn_face()
    render(photo, quad, new)
    shown = Placement(quad, 640, 480).drop(photo, SIDE).astype(int)
    eyes = shown[105:115, 92:100]
    assert np.abs(eyes - new[105:115, 92:100].astype(int)).mean() < 20


def test_a_face_that_moves_is_rendered_and_one_that_stays_is_transferred():
    still, smiling, turned = drawn_face(), drawn_face(mouth=26), drawn_face(shift=8)
    assert movement_px(still, smiling) < STILL_PX / 2
    assert choose_blend(still, smiling) == "transfer"
    whole = np.roll(still, 8, axis=1)
    assert movement_px(still, whole) == pytest.approx(8, abs=1)
    assert choose_blend(still, whole) == "render"
    assert movement_px(still, turned) > movement_px(still, smiling)


def test_the_movement_does_not_depend_on_the_renders_size():
    still = drawn_face()
    moved = np.roll(still, 6, axis=1)
    large = [cv2.resize(image, (1024, 1024)) for image in (still, moved)]
    small = [
        cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA) for image in (still, moved)
    ]
    for pair in (large, small):
        assert movement_px(*pair) == pytest.approx(6, abs=1)
