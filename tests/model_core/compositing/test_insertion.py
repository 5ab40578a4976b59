import numpy as np
import pytest

from model_core.compositing.insertion import insert
from tests.model_core.compositing.test_pasting import QUADS, drawn_face, textured

QUAD = QUADS["inside"]


@pytest.mark.parametrize(
    ("shift", "choice", "blend"),
    [
        (0, "auto", "transfer"),
        (12, "auto", "render"),
        (0, "render", "render"),
        (12, "transfer", "transfer"),
    ],
)
def test_the_blend_is_the_chosen_one_or_suits_the_movement(shift, choice, blend):
    photo = textured(640, 480)
    new = np.roll(drawn_face(mouth=26), shift, axis=1)
    shown, pasted = insert(photo, QUAD, new, drawn_face(), choice)
    assert pasted.blend == blend
    assert np.array_equal(shown, new)
    assert not np.array_equal(photo, textured(640, 480))


def test_without_an_own_face_the_render_is_pasted():
    _, pasted = insert(textured(640, 480), QUAD, drawn_face(), None, "transfer")
    assert pasted.blend == "render"


def test_kept_luminance_is_the_own_faces_and_is_transferred():
    own, new = drawn_face(), drawn_face(shift=12)
    shown, pasted = insert(textured(640, 480), QUAD, new, own, keep_luminance=True)
    assert pasted.blend == "transfer"
    grey = [image.astype(float) @ (0.299, 0.587, 0.114) for image in (shown, own)]
    assert np.abs(grey[0] - grey[1]).mean() < 4
