import numpy as np
import torch

from model_core.perceptual.stlpips import Perceptual
from model_core.training.data.pairs import make_render
from model_core.training.losses.code_losses import StyleLoss
from model_core.training.validation import HeldOut, Validator


def test_figures_are_float32_means_over_pairs_and_photos(generator, network, lpips, tmp_path):
    render = make_render(generator, torch.device("cpu"), compiled=False)
    random = torch.Generator().manual_seed(0)
    ws = generator.mapping(torch.randn(3, 16, generator=random))[:, None].repeat(1, 16, 1)
    photos = torch.randint(0, 256, (2, 3, 256, 256), generator=random, dtype=torch.uint8)
    seen = []

    class Compared(Perceptual):
        name = "compared"

        def features(self, img):
            seen.append((torch.is_autocast_enabled("cpu"), len(img)))
            return lpips.features(img)

    loss = StyleLoss(generator, torch.ones(generator.num_ws))
    held_out = HeldOut(render(ws), ws, photos)
    network.eval()
    validator = Validator(held_out, render, loss, Compared())
    figures = validator(network, tmp_path / "sheet.png")
    assert seen == [(False, 3)] * 2 + [(False, 2)] * 2  # inputs and what they render
    assert figures.keys() == {
        f"{kind}/{name}" for kind in ("pairs", "photos") for name in ("mse", "psnr", "compared")
    } | {"pairs/style_loss"}
    assert all(np.isfinite(value) for value in figures.values())
