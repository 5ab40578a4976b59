"""FaceRes against a plain evaluation of the graph that it is read from, and its crop."""

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from model_core.encoders.faceres import CHIP_PX, PIXEL_MEAN, FaceRes, FaceResHeads
from model_core.errors import CheckpointError
from model_core.networks.loading import load_identity, load_judge
from model_core.weights.cache import DEFAULT_JUDGE
from model_core.weights.packs import original_file
from model_core.weights.readers.tfjs_graph import read_faceres_heads
from tests.model_core.judges import evaluate, need_judge, seeded_judge, write_graph

PARITY = 1e-4


def chips():
    """A part of a photo and noise, 224 px, RGB in [0, 255]."""
    noise = np.random.default_rng(0).integers(0, 256, (CHIP_PX, CHIP_PX, 3), np.uint8)
    both = np.stack([astronaut()[:CHIP_PX, 110 : 110 + CHIP_PX], noise])
    return torch.from_numpy(both).permute(0, 3, 1, 2).float()


def as_graph_input(chips):
    """Blue first, less the mean, channels last."""
    return (chips - torch.tensor(PIXEL_MEAN).view(3, 1, 1)).flip(1).permute(0, 2, 3, 1).numpy()


def assert_parity(network, graph):
    expected = evaluate(graph, as_graph_input(chips()))
    with torch.no_grad():
        found = network(chips()).numpy()
    assert expected.std() > 0.1
    assert not np.allclose(expected[0], expected[1], atol=0.1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=PARITY)


def test_it_computes_what_its_graph_does(tmp_path):
    assert_parity(seeded_judge(tmp_path), write_graph(tmp_path))


def test_the_packs_weights_agree_too(cache):
    need_judge(cache)
    original_file(cache, "faceres.bin")
    assert_parity(load_judge(cache), original_file(cache, "faceres.json"))


def test_the_heads_compute_what_the_graph_does(tmp_path):
    file = write_graph(tmp_path)
    heads = FaceResHeads()
    heads.load_state_dict(read_faceres_heads(file))
    given = as_graph_input(chips())
    with torch.no_grad():
        ages, men = heads(seeded_judge(tmp_path)(chips()))
    shares = evaluate(file, given, "age_pred/Softmax")
    np.testing.assert_allclose(ages, shares @ np.arange(100), rtol=0, atol=1e-2)
    wanted = evaluate(file, given, "gender_pred/Sigmoid")[:, 0]
    np.testing.assert_allclose(men, wanted, rtol=0, atol=PARITY)


def test_the_chip_is_at_the_crop():
    centres = torch.arange(256) + 0.5
    img = torch.zeros(1, 3, 256, 256)
    img[:, 0] = centres / 127.5 - 1
    img[:, 1] = centres[:, None] / 127.5 - 1
    img[:, 2] = 3.0  # beyond white
    (chip,) = FaceRes().chips(img)
    steps = (torch.arange(CHIP_PX) + 0.5) * 184 / CHIP_PX
    inside = slice(2, -2)  # where no edge is repeated
    torch.testing.assert_close(chip[0, 9][inside], (36 + steps)[inside], rtol=0, atol=1e-3)
    torch.testing.assert_close(chip[1, :, 9][inside], (44 + steps)[inside], rtol=0, atol=1e-3)
    assert chip[2].unique().tolist() == [255]


def test_a_batch_is_its_items_singly(tmp_path):
    network = seeded_judge(tmp_path)
    img = torch.rand(3, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    singly = torch.cat([network.descriptor(each) for each in img.split(1)])
    torch.testing.assert_close(network.descriptor(img), singly, rtol=1e-4, atol=1e-4)


def test_no_network_can_be_trained_on_it(cache):
    need_judge(cache)
    with pytest.raises(CheckpointError, match="faceres must be of a family in"):
        load_identity(cache, DEFAULT_JUDGE)
