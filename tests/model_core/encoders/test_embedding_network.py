import dataclasses

import pytest
import torch
from torch import nn

from model_core.encoders.embedding_network import (
    Denormalization,
    EmbeddingNetwork,
    EmbeddingNetworkConfig,
)
from model_core.encoders.treeconnect import LocallyConnected, TreeConnect
from model_core.errors import InvalidInputError


class MeanColour(nn.Module):
    """An identity encoder for tests: the mean of each channel, repeated."""

    def forward(self, img):
        return img.mean(dim=(2, 3)).repeat(1, 4)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    config = EmbeddingNetworkConfig(
        num_ws=16, w_dim=16, img_px=64, attribute_px=64, identity_dim=12
    )
    return EmbeddingNetwork(config, MeanColour(), torch.full((16,), 3.0), torch.full((16,), 0.5))


def test_codes_start_near_the_mean_code(network):
    ws = network.eval()(torch.randn(2, 3, 64, 64))
    assert ws.shape == (2, 16, 16)
    assert (ws.mean() - 3).abs() < 0.3


@torch.no_grad()
def test_identity_and_attributes_come_from_their_own_photo(network):
    network.eval()
    a, b = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64) + 1
    merged = network(a, b)
    assert torch.equal(merged, network.decode(network.attribute(a), network.identity(b)))
    assert not torch.equal(merged, network(a))
    assert not torch.equal(merged, network(b))


@torch.no_grad()
def test_attributes_can_be_read_at_half_the_resolution(network):
    config = dataclasses.replace(network.config, attribute_px=32)
    halved = EmbeddingNetwork(config, MeanColour(), network.w_mean, network.w_std)
    halved.load_state_dict(network.state_dict())
    fine = torch.randn(2, 3, 64, 64)
    coarse = torch.nn.functional.avg_pool2d(fine, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    features = halved.eval().read_attributes(fine)
    assert features.shape == network.read_attributes(fine).shape
    assert torch.allclose(features, halved.read_attributes(coarse), atol=1e-4)


@torch.no_grad()
def test_a_batch_is_its_items(network):
    img = torch.randn(3, 3, 64, 64)
    network.eval()
    singly = torch.cat([network(x[None]) for x in img])
    assert torch.allclose(network(img), singly, atol=1e-4)


def test_gradients_reach_all_trained_weights(network):
    network.train()
    network.zero_grad()
    # A zero residual branch gets no gradient through its last scale, so these are set first.
    for name, parameter in network.named_parameters():
        if name.endswith("bn3.weight"):
            nn.init.ones_(parameter)
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_denormalization_follows_the_papers_equations():
    layer = Denormalization(4, 6)
    nn.init.normal_(layer.fc.weight)
    f_attr, f_id = torch.randn(2, 4, 8, 8), torch.randn(2, 6)
    centred = (f_id - f_id.mean(1, keepdim=True)) / (f_id.var(1, False, keepdim=True) + 1e-5).sqrt()
    gamma, beta = (centred @ layer.fc.weight.T + layer.fc.bias).chunk(2, dim=1)
    mu = f_attr.mean((2, 3), keepdim=True)
    sigma = (f_attr.var((2, 3), False, keepdim=True) + 1e-5).sqrt()
    expected = (1 + gamma)[..., None, None] * (f_attr - mu) / sigma + beta[..., None, None]
    assert torch.allclose(layer(f_attr, f_id), expected, atol=1e-5)


def test_locally_connected_maps_each_row_by_its_own_matrix():
    layer = LocallyConnected(3, 4, 5)
    x = torch.randn(2, 3, 4)
    expected = torch.stack([x[:, r] @ layer.weight[r] + layer.bias[r] for r in range(3)], dim=1)
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_every_output_of_treeconnect_sees_every_input():
    for rows, columns in ((4, 4), (2, 6)):
        tree = TreeConnect(in_channels=2, in_cells=4, rows=rows, columns=columns)
        x = torch.randn(1, 2, 2, 2)
        jacobian = torch.autograd.functional.jacobian(lambda value, tree=tree: tree(value)[0], x)
        assert (jacobian.reshape(rows * columns, -1).abs() > 0).all()


def test_treeconnect_refuses_a_matrix_that_the_cells_do_not_divide():
    with pytest.raises(InvalidInputError, match="in_cells"):
        TreeConnect(in_channels=2, in_cells=5, rows=4, columns=4)


@pytest.mark.parametrize(
    ("num_ws", "sides"), [(18, (96, 96)), (16, (64, 128)), (14, (64, 112)), (8, (64, 64))]
)
def test_every_generators_codes_have_a_matrix(num_ws, sides):
    assert EmbeddingNetworkConfig(num_ws=num_ws, w_dim=512).sides == sides


@torch.no_grad()
def test_non_square_codes_are_predicted():
    config = EmbeddingNetworkConfig(num_ws=6, w_dim=16, img_px=64, identity_dim=12)
    network = EmbeddingNetwork(config, MeanColour(), torch.zeros(16), torch.ones(16)).eval()
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 6, 16)


@torch.no_grad()
def test_without_disentangling_a_single_resnet_is_read(network):
    config = dataclasses.replace(network.config, disentangled=False)
    single = EmbeddingNetwork(config, MeanColour(), network.w_mean, network.w_std).eval()
    assert not any(name.startswith("merge") for name, _ in single.named_parameters())
    a, b = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64) + 1
    assert torch.equal(single(a, b), single(a))
    assert torch.equal(single(a), single.decode(single.read_attributes(a), single.identity(b)))
    assert not torch.equal(single(a), single(b))


def test_a_config_from_before_the_ablation_is_disentangled():
    assert EmbeddingNetworkConfig(num_ws=16, w_dim=16, identity_dim=12).disentangled
