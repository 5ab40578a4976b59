import pytest
import torch

from model_core.embedder import Embedder
from model_core.loading import load_embedding_network, load_generator


@pytest.fixture(scope="module")
def network(cache, network_file):
    generator, fingerprint = load_generator(cache)
    return load_embedding_network(network_file, cache, generator, fingerprint)


@pytest.fixture(scope="module")
def faces():
    return 2 * torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize("by_openvino", [False, True])
def test_identity_comes_from_one_face_and_attributes_from_the_other(network, faces, by_openvino):
    a, b = faces.split(1)
    found = Embedder(network, by_openvino)(faces, faces.flip(0))
    with torch.inference_mode():
        expected = torch.cat([network(b, a), network(a, b)])
    assert found.shape == (2, 18, 512)
    assert (found - expected).std() < 0.02 * expected.std()  # bfloat16
    assert (found - network(faces)).std() > 0.1 * expected.std()
