"""Perceptual distances by name, those on torchvision's trunks with trunks of random weights."""

import sys
import warnings

import lpips
import pytest
import torch
import torchvision
from torch import nn

from model_core.errors import CheckpointError, InvalidInputError
from model_core.networks.distances import DISTANCES, load_distance

FILES = {"alex": "alexnet-owt-00000000.pth", "vgg": "vgg16-00000000.pth"}


def images(count=2, size=64):
    random = torch.Generator().manual_seed(0)
    return (2 * torch.rand(2, count, 3, size, size, generator=random) - 1).unbind()


@pytest.fixture(scope="module")
def trunks(tmp_path_factory):
    """torchvision's two trunks, untrained, under the names that torchvision publishes."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("trunks")
    for trunk, build in (("alex", torchvision.models.alexnet), ("vgg", torchvision.models.vgg16)):
        with torch.device("meta"):
            features = build(weights=None).features
        state = {
            f"features.{key}": torch.randn(x.shape) * 0.05
            for key, x in features.state_dict().items()
        }
        torch.save(state, folder / FILES[trunk])
    return folder


@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_lpips_is_the_packages(trunk, cache, trunks):
    metric = load_distance(f"lpips-{trunk}", cache, trunks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False)
    package.net.load_state_dict(metric.network.net.state_dict())
    stored = torch.load(trunks / FILES[trunk], weights_only=True)
    assert torch.equal(package.net.state_dict()["slice1.0.weight"], stored["features.0.weight"])
    a, b = images()
    assert metric.name == f"lpips-{trunk}"
    assert metric(a, b).tolist() == pytest.approx(package(a, b).flatten().tolist(), rel=1e-4)
    assert metric(a, b).min() > 0


def test_vgg_features_are_means_over_four_layers_of_torchvisions_vgg(cache, trunks):
    metric = load_distance("vgg-features", cache, trunks)
    assert metric.name == "vgg-features"
    stored = torch.load(trunks / FILES["vgg"], weights_only=True)
    with torch.device("meta"):
        network = torchvision.models.vgg16(weights=None).features
    plain = {key.removeprefix("features."): value for key, value in stored.items()}
    network.load_state_dict(plain, assign=True)
    taken = {1, 3, 13, 20}  # the ReLUs behind conv1_1, conv1_2, conv3_2 and conv4_2
    a, b = images()
    mean, spread = (
        torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    x, y = ((img / 2 + 0.5 - mean) / spread for img in (a, b))
    wanted = torch.zeros(2)
    with torch.no_grad():
        for i, layer in enumerate(network[:21]):
            x, y = layer(x), layer(y)
            if i in taken:
                wanted += (x - y).square().mean(dim=(1, 2, 3))
    assert metric(a, b).tolist() == pytest.approx(wanted.tolist(), rel=1e-3)


def test_vgg_features_use_st_lpips_trunk_by_default(cache):
    metric = load_distance("vgg-features", cache)
    assert metric.name == "st-vgg-features"
    a, b = images()
    assert [x.shape[1] for x in metric.features(a)] == [64, 64, 256, 512]
    assert metric(a, a).tolist() == [0, 0]
    assert metric(a, b).min() > 0
    stages = load_distance("st-lpips-vgg", cache).stages
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    first = nn.Sequential(*stages[0][:2])((a - shift.view(3, 1, 1)) / scale.view(3, 1, 1))
    assert torch.allclose(metric.features(a)[0], first / 8, atol=1e-5)


def test_no_distance_leaves_no_gradient(cache):
    metric = load_distance("none", cache)
    a, b = images()
    a.requires_grad_()
    distance = metric(a, b)
    assert distance.tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(distance.sum(), a)
    assert not gradient.any()


@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg"])
def test_a_missing_trunk_error_says_how_to_get_it(name, cache, tmp_path):
    for folder in (None, tmp_path):
        with pytest.raises(CheckpointError, match=r"download https://download\.pytorch\.org/"):
            load_distance(name, cache, folder)


def test_a_missing_package_error_says_how_to_install_it(cache, trunks, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    monkeypatch.delitem(sys.modules, "model_core.perceptual.lpips", raising=False)
    with pytest.raises(CheckpointError, match=r"package lpips, got none .*: pip install lpips$"):
        load_distance("lpips-alex", cache, trunks)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"nonsense", "must be a torchvision state dict"),
        ([1, 2], "must be a torchvision state dict"),
        ({"features.0.weight": torch.zeros(1)}, "must be a torchvision state dict"),
    ],
)
def test_a_file_that_is_not_a_trunk_is_refused(content, told, cache, tmp_path):
    file = tmp_path / FILES["alex"]
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(CheckpointError, match=told):
        load_distance("lpips-alex", cache, tmp_path)


def test_a_trunk_of_another_shape_is_refused(cache, trunks, tmp_path):
    state = torch.load(trunks / FILES["alex"], weights_only=True)
    torch.save(state | {"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / FILES["alex"])
    with pytest.raises(CheckpointError, match=r"features\.0\.weight .* must be \(64, 3, 11, 11\)"):
        load_distance("lpips-alex", cache, tmp_path)


def test_unknown_names_are_refused(cache):
    with pytest.raises(InvalidInputError, match="distance must be one of"):
        load_distance("lpips-squeeze", cache)
    assert "st-lpips-alex" in DISTANCES
