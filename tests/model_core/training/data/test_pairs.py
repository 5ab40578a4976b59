import dataclasses

import numpy as np
import pytest
import torch

from model_core.generators.sampling import sample_codes, sample_each, seeded
from model_core.training.config import TrainConfig
from model_core.training.data.pairs import RENDER_CHUNK, PairRing, make_render, render_all


def test_a_stream_of_randomness_depends_on_all_its_arguments():
    draws = {
        torch.rand((), generator=seeded(*key)).item()
        for key in [(0, "pair", 0), (1, "pair", 0), (0, "step", 0), (0, "pair", 1), (0, "pair", 0)]
    }
    assert len(draws) == 4


def test_unmixed_codes_repeat_one_row(generator):
    config = TrainConfig(mixed_share=0.0)
    ws = sample_codes(generator, config, 5, seeded(0, "pair", 0))
    assert ws.shape == (5, 16, 16)
    assert torch.equal(ws, ws[:, :1].expand_as(ws))


def test_mixed_codes_change_at_one_to_three_rows(generator):
    config = TrainConfig(mixed_share=1.0)
    ws = sample_codes(generator, config, 200, seeded(0, "pair", 0))
    changes = (ws[:, 1:] != ws[:, :-1]).any(dim=2).sum(dim=1)
    assert set(changes.tolist()) == {1, 2, 3}


def test_truncation_bounds_the_spread(generator):
    config = TrainConfig(mixed_share=0.0)
    near = dataclasses.replace(config, psi_min=0.1, psi_max=0.1)
    far = dataclasses.replace(config, psi_min=1.0, psi_max=1.0)
    small, large = (
        sample_codes(generator, c, 50, seeded(0, "pair", 0)) - generator.w_mean for c in (near, far)
    )
    assert torch.allclose(small * 10, large, atol=1e-5)


def test_codes_sampled_together_are_those_sampled_singly(generator):
    def randoms():
        return [seeded(0, "pair", i) for i in range(5)]

    config = TrainConfig()
    together = sample_each(generator, config, randoms())
    singly = torch.cat([sample_each(generator, config, [random]) for random in randoms()])
    counted = torch.cat([sample_codes(generator, config, 1, random) for random in randoms()])
    assert torch.allclose(together, singly, atol=1e-5)
    assert torch.equal(singly, counted)
    assert len(torch.unique(together, dim=0)) == 5


def test_the_ring_keeps_the_newest_and_is_shared(tmp_path):
    ring = PairRing(tmp_path, 4, (2, 3))
    for i in range(6):
        ring.append(
            torch.full((1, 3, 256, 256), i, dtype=torch.uint8), torch.full((1, 2, 3), float(i))
        )
    again = PairRing.open(tmp_path)
    assert again.count == 6
    img, ws = again.read([2, 3, 4, 5])
    assert img[:, 0, 0, 0].tolist() == [2, 3, 4, 5]
    assert ws[:, 0, 0].tolist() == [2, 3, 4, 5]
    drawn, _ = again.draw(3, 6, 100, seeded(0, "step", 0))
    assert set(drawn[:, 0, 0, 0].tolist()) == {3, 4, 5}


@torch.no_grad()
def test_rendered_pairs_are_the_images_by_area(generator):
    ws = sample_codes(generator, TrainConfig(), 2, seeded(0, "pair", 0))
    img = make_render(generator, torch.device("cpu"), compiled=False)(ws)
    full = generator.synthesis(ws)
    expected = (torch.nn.functional.avg_pool2d(full, 2).clamp(-1, 1) + 1) * 127.5
    assert (img.shape, img.dtype) == ((2, 3, 256, 256), torch.uint8)
    assert (img - expected).abs().mean() < 1


@pytest.mark.parametrize("slots", [4, 5])
def test_a_ring_of_another_size_is_recreated(tmp_path, slots):
    PairRing(tmp_path, 4, (2, 3)).append(
        torch.zeros(1, 3, 256, 256, dtype=torch.uint8), torch.ones(1, 2, 3)
    )
    ring = PairRing(tmp_path, slots, (2, 3))
    assert ring.read([0])[1].any() == (slots == 4)
    assert ring.count == (slots == 4)


def test_a_partially_created_ring_is_empty(tmp_path, monkeypatch):
    PairRing(tmp_path, 4, (2, 3)).append(
        torch.zeros(1, 3, 256, 256, dtype=torch.uint8), torch.ones(1, 2, 3)
    )
    make = np.lib.format.open_memmap

    def killed(path, *arguments, **options):
        if path.name == "pairs_count.npy":
            raise KeyboardInterrupt
        return make(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "open_memmap", killed)
        with pytest.raises(KeyboardInterrupt):
            PairRing(tmp_path, 5, (2, 3))
    assert PairRing(tmp_path, 5, (2, 3)).count == 0


def test_a_ring_with_a_truncated_file_is_recreated(tmp_path):
    PairRing(tmp_path, 4, (2, 3)).append(
        torch.zeros(1, 3, 256, 256, dtype=torch.uint8), torch.ones(1, 2, 3)
    )
    with (tmp_path / "pairs_img.npy").open("r+b") as file:
        file.truncate(1000)
    assert PairRing(tmp_path, 4, (2, 3)).count == 0


@pytest.mark.parametrize("count", [1, RENDER_CHUNK, RENDER_CHUNK + 3])
def test_any_number_of_codes_is_rendered_in_chunks(count):
    sizes = []

    def render(ws):
        sizes.append(len(ws))
        return ws[:, :1, :1, None].expand(-1, 3, 2, 2).to(torch.uint8)

    ws = torch.arange(float(count))[:, None, None].expand(-1, 2, 3)
    img = render_all(render, ws)
    assert max(sizes) <= RENDER_CHUNK
    assert sum(sizes) == count
    assert img[:, 0, 0, 0].tolist() == list(range(count))


def test_compiled_rendering_is_compiled_for_one_size(generator, monkeypatch):
    sizes, frozen = [], []

    def compile_nothing(synthesize, options):
        def run(ws):
            sizes.append(len(ws))
            frozen.append(torch._inductor.config.freezing)
            return synthesize(ws)

        return run

    monkeypatch.setattr(torch, "compile", compile_nothing)
    render = make_render(generator, torch.device("cpu"), compiled=True)
    ws = sample_codes(generator, TrainConfig(), RENDER_CHUNK + 3, seeded(0, "pair", 0))
    assert len(render_all(render, ws)) == RENDER_CHUNK + 3
    assert sizes == [RENDER_CHUNK, RENDER_CHUNK]
    assert all(frozen)
    assert not torch._inductor.config.freezing  # what is trained must not be compiled under it
