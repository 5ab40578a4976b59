"""A folder of generated faces, and what finds faces in it."""

import numpy as np
import pytest
from PIL import Image

from model_core.batch.workers import Models, PhotoWorkers
from model_core.predictor import Predictor
from model_core.weights.cache import LANDMARKS, SECOND_GLANCE, weight_path

EAGER = ("--no-figures", "--no-detail", "--backend", "eager", "--dtype", "float32")


@pytest.fixture(scope="session")
def photos(tmp_path_factory, predictor):
    """Two faces, both on one photo, a photo of none, and a file that is damaged."""
    folder = tmp_path_factory.mktemp("photos")
    one, other = (predictor.synthesize(predictor.sample(seed, 0.7))[0] for seed in (1, 2))
    Image.fromarray(one).save(folder / "a.jpg", quality=95)
    (folder / "below").mkdir()
    Image.fromarray(other).save(folder / "below" / "b.png")
    Image.fromarray(np.hstack([one, other])).save(folder / "c.jpg", quality=95)
    Image.new("RGB", (300, 300), (90, 120, 150)).save(folder / "grey.jpg")
    (folder / "zero.jpg").write_bytes(b"\xff\xd8\xff no photo")
    return folder


@pytest.fixture(scope="session")
def landmarks(cache):
    return weight_path(cache, LANDMARKS)


@pytest.fixture(scope="session")
def models(cache, landmarks):
    """With which the commands find faces."""
    second = weight_path(cache, SECOND_GLANCE)
    return Models(landmarks, second if second.is_file() else None)


@pytest.fixture(scope="module")
def eager(cache, network_file):
    """What `wplus embed` loads with EAGER: the same codes in every process, and quick to load."""
    return Predictor.load(cache, network_file, backend="eager", dtype="float32")


@pytest.fixture(scope="module")  # a package here ends with the session
def workers(landmarks):
    """One worker that has started."""
    with PhotoWorkers(1, Models(landmarks)) as workers:
        workers.start()
        yield workers
