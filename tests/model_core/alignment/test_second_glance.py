"""The second glance: faces that dlib's detector misses, and none where there is none."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from model_core.alignment.face_finder import FaceFinder, brightness
from model_core.alignment.face_search import FaceSearch
from model_core.alignment.second_glance import SecondGlance
from model_core.errors import CheckpointError
from model_core.weights.cache import SECOND_GLANCE, weight_path
from tests.model_core.faces import LANDMARK_MODEL, pixels, portrait


@pytest.fixture(scope="module")
def model(cache):
    path = weight_path(cache, SECOND_GLANCE)
    if not path.is_file():
        pytest.skip(f"no second glance: python -m model_core.checkpoints pull {SECOND_GLANCE}")
    return path


@pytest.fixture(scope="module")
def first(cache):
    return FaceFinder(cache / "weights" / LANDMARK_MODEL)


@pytest.fixture(scope="module")
def both(cache, model):
    return FaceFinder(cache / "weights" / LANDMARK_MODEL, model)


def masked(image):
    """Cover mouth and chin."""
    image = image.copy()
    ImageDraw.Draw(image).rectangle((185, 118, 265, 165), fill=(200, 200, 200))
    return image


def noisy(image):
    noise = np.random.default_rng(0).normal(0, 60, (512, 512, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def blurred(image):
    return image.filter(ImageFilter.GaussianBlur(6))


def slanted(image):
    """As a camera that moves sees it."""
    return image.transform(image.size, Image.Transform.AFFINE, (1, 0.4, -40, 0, 1, 0))


CHANGES = {"masked": masked, "noisy": noisy, "blurred": blurred, "slanted": slanted}


@pytest.mark.parametrize("name", CHANGES)
def test_faces_that_the_detector_misses_are_found(first, both, name):
    photo = pixels(CHANGES[name](portrait()))
    assert first.find(photo) == []
    (face,) = both.find(photo)
    x, y = (face.landmarks[36:42].mean(0) + face.landmarks[42:48].mean(0)) / 2
    assert y == pytest.approx(103, abs=8)
    assert x == pytest.approx(224, abs=10)
    assert 0.6 < face.score <= 1
    assert np.array_equal(FaceSearch(both, brightness(photo)).largest.landmarks, face.landmarks)


def test_what_the_detector_finds_is_left_to_it(first, both):
    photo = pixels(portrait())
    expected, found = first.find(photo), both.find(photo)
    assert len(found) == len(expected) == 1
    assert np.array_equal(found[0].landmarks, expected[0].landmarks)


@pytest.mark.parametrize("name", ["nothing", "noise", "stripes", "no face"])
def test_nothing_is_found_where_there_is_nothing(both, name):
    rng = np.random.default_rng(1)
    photo = {
        "nothing": np.full((300, 400, 3), 90, np.uint8),
        "noise": rng.integers(0, 256, (300, 400, 3), np.uint8),
        "stripes": np.tile(np.uint8([[[0] * 3, [255] * 3]]), (300, 200, 1)),
        "no face": pixels(portrait())[250:],
    }[name]
    assert both.find(photo) == []


@pytest.mark.parametrize("size", [(512, 512), (700, 512), (400, 800)])
def test_places_are_in_the_photos_pixels(model, size):
    canvas = Image.new("L", size)
    canvas.paste(portrait().convert("L").crop((100, 0, 500, 400)))
    (glimpse, *_) = SecondGlance(model).look(canvas)
    right_eye, left_eye, mouth = glimpse.points
    assert right_eye == pytest.approx(np.array([103, 101]), abs=9)
    assert left_eye == pytest.approx(np.array([146, 104]), abs=9)
    assert mouth[1] > left_eye[1] + 20
    assert abs(glimpse.centre - [125, 118]).max() < 20


def test_threads_share_one(model):
    glance, grey = SecondGlance(model), portrait().convert("L")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: glance.look(grey), range(8)))
    assert all(np.array_equal(each[0].points, found[0][0].points) for each in found)


def test_another_file_is_refused(tmp_path):
    file = tmp_path / "other.tflite"
    file.write_bytes(b"other")
    with pytest.raises(CheckpointError, match="OpenVINO"):
        SecondGlance(file)
