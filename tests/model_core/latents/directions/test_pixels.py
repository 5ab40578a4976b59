"""Drawn faces: skin of one tone, and what is measured painted where the landmarks say."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from model_core.latents.directions.pixels import beard, gaze, glasses, hair_tone, skin_tone
from tests.model_core.latents.directions.landmarks import face

SKIN, WHITE, DARK = (180, 140, 120), (240, 240, 240), (30, 25, 20)
SCALE, MIDDLE = 0.62, np.array([128.0, 112.0])  # the eyes are 62 px apart


@pytest.fixture
def landmarks():
    return face() * SCALE + MIDDLE


def draw(landmarks, paint=lambda canvas: None):
    image = Image.new("RGB", (256, 256), SKIN)
    canvas = ImageDraw.Draw(image)
    for eye in (36, 42):
        canvas.polygon([tuple(point) for point in landmarks[eye : eye + 6]], WHITE)
    paint(canvas)
    return np.asarray(image)


def test_a_dark_line_across_the_nose_is_glasses(landmarks):
    def paint(canvas):
        canvas.line([(100, 116), (156, 116)], DARK, 3)

    plain = glasses(draw(landmarks), landmarks)
    assert plain == pytest.approx(0, abs=1)
    assert glasses(draw(landmarks, paint), landmarks) > plain + 20


def test_a_dark_chin_and_lip_are_a_beard(landmarks):
    def paint(canvas):
        canvas.rectangle((108, 120, 148, 250), (90, 70, 60))  # between the cheeks

    assert beard(draw(landmarks), landmarks) == pytest.approx(0, abs=0.01)
    assert beard(draw(landmarks, paint), landmarks) == pytest.approx(0.5, abs=0.02)


def test_hair_is_read_above_the_forehead(landmarks):
    def paint(shade):
        return lambda canvas: canvas.rectangle((0, 0, 255, 50), (shade, shade, shade))

    tones = [hair_tone(draw(landmarks, paint(shade)), landmarks) for shade in (51, 204)]
    assert tones == pytest.approx([0.2, 0.8], abs=0.01)


def test_skin_is_read_on_the_cheeks(landmarks):
    shade = np.array(SKIN) @ [0.299, 0.587, 0.114] / 255
    assert skin_tone(draw(landmarks), landmarks) == pytest.approx(shade, abs=0.01)


def test_irises_that_move_to_the_right_look_there(landmarks):
    def look(shift):
        def paint(canvas):
            for eye in (36, 42):
                x, y = landmarks[eye : eye + 6].mean(axis=0)
                canvas.ellipse((x + shift - 3, y - 3, x + shift + 3, y + 3), DARK)

        return gaze(draw(landmarks, paint), landmarks)

    width = 24 * SCALE
    assert look(0) == pytest.approx(0, abs=0.03)
    assert look(3) == pytest.approx(3 / width, abs=0.05)
    assert look(-3) == pytest.approx(-3 / width, abs=0.05)


@pytest.mark.parametrize("measure", [glasses, beard, hair_tone, skin_tone, gaze])
def test_landmarks_beyond_the_edge_are_measured_too(landmarks, measure):
    assert np.isfinite(measure(draw(landmarks), landmarks * 1.5))
