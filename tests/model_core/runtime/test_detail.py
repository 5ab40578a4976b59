import logging

import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from model_core.runtime.detail import DetailRenderer
from model_core.runtime.execution import Execution
from tests.model_core.encoders.test_detail_encoder import CONFIG, make_encoder


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    tiny = MobileStyleGAN(MobileStyleGANConfig(w_dim=16, mapping_layers=2, widths=(16, 16, 8)))
    tiny.const.normal_()
    return tiny.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def photos():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1


@pytest.fixture(scope="module")
def codes():
    return 3 * torch.randn(2, 10, 16, generator=torch.Generator().manual_seed(1))


def reference(generator, encoder, photos, ws):
    """Compute detail and image by the networks as they are written."""
    features = generator.features(ws, CONFIG.blocks)
    detail = encoder(photos, features, ws).half()
    corrected = features + encoder.decode(detail.float())
    img = (generator.tail(corrected, ws, CONFIG.blocks).clamp(-1, 1) + 1) * 127.5
    return detail, img.permute(0, 2, 3, 1)


@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_details_and_images_are_those_of_the_networks(generator, photos, codes, backend):
    encoder = make_encoder()
    renderer = DetailRenderer(generator, encoder, "d" * 64, Execution(backend=backend))
    detail, img = reference(generator, encoder, photos, codes)
    got = renderer.encode(photos, codes)
    assert got.dtype == torch.float16
    assert (got - detail).abs().max() < 0.01 * detail.abs().max()
    assert (renderer(codes, detail) - img).abs().max() <= 0.6


def test_compiled_it_gives_the_same(generator, photos, codes):
    encoder = make_encoder()
    execution = Execution(backend="compile")
    if not execution.compiles:
        pytest.skip("no C++ compiler here")
    renderer = DetailRenderer(generator, encoder, "d" * 64, execution)
    before = renderer.encode(photos, codes)
    execution.queue.run()
    after = renderer.encode(photos, codes)
    assert (after - before).abs().max() < 0.01 * before.abs().max()
    _, img = reference(generator, encoder, photos, codes)
    assert (renderer(codes, after) - img).abs().max() <= 1.6


def test_another_code_is_not_taken_for_the_last_one(generator, photos, codes):
    renderer = DetailRenderer(generator, make_encoder(), "d" * 64, Execution(backend="eager"))
    first = renderer.features(codes)
    assert not torch.equal(renderer.features(codes + 1), first)
    assert torch.equal(renderer.features(codes), first)


def test_without_openvino_plain_torch_renders(generator, photos, codes, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("no kernels")

    monkeypatch.setattr("model_core.runtime.openvino.run_by_openvino", broken)
    with caplog.at_level(logging.ERROR):
        renderer = DetailRenderer(
            generator, make_encoder(), "d" * 64, Execution(backend="openvino")
        )
    assert "plain torch" in caplog.text
    assert renderer.encode(photos, codes).shape == (2, 8, 16, 16)


def test_a_family_that_cannot_be_split_is_refused():
    generator = StyleGAN2(StyleGAN2Config(w_dim=16, mapping_layers=1, widths=(8, 8)))
    with pytest.raises(InvalidInputError, match=r"can be split.*StyleGAN2"):
        DetailRenderer(generator, make_encoder(), "d" * 64, Execution(backend="eager"))
