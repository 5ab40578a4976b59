import pytest
import torch

from model_core.encoders.embedding_network import EmbeddingNetwork, EmbeddingNetworkConfig
from model_core.networks.loading import RECOGNISERS, load_embedding_network, load_generator
from model_core.runtime.embedder import Embedder
from model_core.runtime.execution import Execution

IRSE = {"layers": 50, "excited": True, "affine": True}


@pytest.fixture(scope="module")
def network(cache, network_file):
    generator, fingerprint = load_generator(cache)
    return load_embedding_network(network_file, cache, generator, fingerprint)


@pytest.fixture(scope="module")
def faces():
    return 2 * torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize("backend", ["eager", "openvino"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_identity_comes_from_one_face_and_attributes_from_the_other(network, faces, backend, dtype):
    a, b = faces.split(1)
    found = Embedder(network, Execution.choose("cpu", backend, dtype))(faces, faces.flip(0))
    with torch.inference_mode():
        expected = torch.cat([network(b, a), network(a, b)])
    assert found.shape == (2, 18, 512)
    tolerance = {"float32": 1e-4, "bfloat16": 0.02}[dtype]
    assert (found - expected).std() < tolerance * expected.std()
    assert (found - network(faces)).std() > 0.1 * expected.std()


@pytest.mark.parametrize(
    ("family", "config", "identity_dim", "disentangled"),
    [
        ("arcface-irse", IRSE, 512, True),
        ("arcface-iresnet", {"blocks": [1, 1, 1, 1]}, 512, True),
        ("dlib-resnet29", {}, 256, False),
    ],
)
def test_openvino_runs_every_kind_of_network(faces, family, config, identity_dim, disentangled):
    torch.manual_seed(0)
    sizes = EmbeddingNetworkConfig(
        attribute_px=128, identity_dim=identity_dim, disentangled=disentangled
    )
    identity = RECOGNISERS[family](config)
    network = EmbeddingNetwork(sizes, identity, torch.zeros(512), torch.ones(512))
    network.eval().requires_grad_(False)
    found = Embedder(network, Execution(backend="openvino"))(faces, faces.flip(0))
    expected = network(faces.flip(0), faces)
    assert (found - expected).std() < 1e-4 * expected.std()
