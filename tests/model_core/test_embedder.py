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
    found = Embedder(network, by_openvino)(a, b)
    with torch.inference_mode():
        expected = network(b, a)
    assert (found - expected).std() < 0.02 * expected.std()  # bfloat16
    assert (found - network(a)).std() > 0.1 * expected.std()


def test_openvino_takes_over_and_gives_the_same_codes(network, faces):
    embedder = Embedder(network, by_openvino=True, at_once=True)
    before = embedder(faces, faces)
    embedder.hasten()
    embedder._swap.wait()
    assert embedder._swap.swapped
    after = embedder(faces, faces)
    assert after.shape == (2, 18, 512)
    assert not torch.equal(after, before)
    assert (after - before).std() < 0.02 * before.std()
