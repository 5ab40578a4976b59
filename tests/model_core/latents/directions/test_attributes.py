import numpy as np
import pytest

from model_core.latents.directions.attributes import eyes_open, mouth_open, pitch, smile, yaw
from tests.model_core.latents.directions.landmarks import face


def one(measure, points):
    return measure(points[None]).item()


def test_a_symmetric_face_looks_straight_ahead():
    assert one(yaw, face()) == pytest.approx(0, abs=1e-9)
    assert one(smile, face()) == pytest.approx(0.8)


def test_a_nose_that_moves_to_the_right_is_a_turn_to_the_right():
    turned = [one(yaw, face(turn=turn)) for turn in (-1, -0.5, 0.5, 1)]
    assert turned == sorted(turned)
    assert turned[0] == pytest.approx(-turned[-1])
    assert one(smile, face(turn=1)) == pytest.approx(one(smile, face()))


def test_wide_and_lifted_corners_are_a_smile():
    assert one(smile, face(smiling=1)) == pytest.approx(0.8 + 0.4 + 0.1)
    assert one(yaw, face(smiling=1)) == pytest.approx(0, abs=1e-9)


def test_a_nose_that_rises_against_the_ears_looks_up():
    up = face()
    up[30, 1] -= 20  # a fifth of the distance between the eyes
    assert one(pitch, up) == pytest.approx(one(pitch, face()) + 0.2)


def test_lips_apart_are_an_open_mouth():
    opened = face()
    opened[65:68, 1] += 10
    assert one(mouth_open, opened) == pytest.approx(one(mouth_open, face()) + 0.1)


def test_lids_apart_are_open_eyes():
    opened = face()
    for eye in (36, 42):
        opened[eye : eye + 6, 1] *= 2
    assert one(eyes_open, opened) == pytest.approx(2 * one(eyes_open, face()))


@pytest.mark.parametrize("measure", [yaw, smile, pitch, mouth_open, eyes_open])
def test_position_size_and_tilt_do_not_matter(measure):
    points = face(turn=0.7, smiling=0.5)
    cos, sin = np.cos(0.3), np.sin(0.3)
    moved = 2.5 * points @ np.array([[cos, sin], [-sin, cos]]) + [300, 200]
    assert one(measure, moved) == pytest.approx(one(measure, points))


def test_a_face_that_was_not_found_has_no_measure():
    measured = yaw(np.stack([face(), np.full((68, 2), np.nan)]))
    assert np.isnan(measured).tolist() == [False, True]
