import pytest
import torch
from skimage.data import astronaut
from torch.nn import functional as F

from model_core.alignment.ffhq import FaceAligner
from model_core.metrics.identity import SAME_PERSON_SIMILARITY
from model_core.networks.loading import load_judge
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from model_core.weights.cache import LANDMARKS, verified_path
from tests.model_core.judges import need_judge, seeded_judge


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """FaceRes of seeded weights."""
    return seeded_judge(tmp_path_factory.mktemp("judge"))


@pytest.fixture(scope="module")
def faces():
    """Two parts of a photo, and noise."""
    photo = torch.from_numpy(astronaut().copy()).permute(2, 0, 1)[None] / 127.5 - 1
    noise = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.cat([photo[..., :256, 100:356], photo[..., 256:, :256], noise])


def cosines(network, a, b):
    return F.cosine_similarity(network.descriptor(a), network.descriptor(b))


@pytest.mark.parametrize("backend", ["eager", "openvino"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pairs_are_compared_by_cosine_in_float32(network, faces, backend, dtype):
    judge = IdentityJudge(network, Execution.choose("cpu", backend, dtype))
    others = faces[[0, 2, 1]]
    found = judge(faces, others)
    expected = cosines(network, faces, others)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert found[0] > 0.9999
    assert expected[1] < 0.99


@pytest.mark.parametrize("size", [64, 1024])
def test_images_of_any_size_are_resized_to_the_faces_size(network, faces, size):
    judge = IdentityJudge(network, Execution(backend="eager"))
    mode = {"mode": "bilinear"} if size < 256 else {"mode": "area"}
    images = F.interpolate(faces[:1], (size, size), **mode)
    back = F.interpolate(images, (256, 256), **({"mode": "bilinear"} if size < 256 else mode))
    found, expected = judge(faces[:1], images), cosines(network, faces[:1], back)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_mirrored_photo_shows_the_same_person_and_an_invented_face_does_not(cache, predictor):
    need_judge(cache)
    photo = FaceAligner(verified_path(cache, LANDMARKS)).crop(astronaut(), size=256).image
    face = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    rendered = predictor.synthesize(predictor.sample(3, 0.7))
    stranger = torch.from_numpy(rendered).permute(0, 3, 1, 2) / 127.5 - 1
    judge = IdentityJudge(load_judge(cache), Execution.choose())
    assert judge(face, face.flip(3)) > SAME_PERSON_SIMILARITY
    assert judge(face, stranger) < SAME_PERSON_SIMILARITY
