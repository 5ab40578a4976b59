"""Metrics and contact sheets of a network on held-out generated pairs and photographs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from model_core.contact_sheet import draw_sheet
from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.generators.contract import Generator
from model_core.generators.sampling import sample_codes, seeded
from model_core.images import to_float, to_pixels
from model_core.metrics.pixels import mse, psnr
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.precision import FLOAT32, Precision
from model_core.training.config import TrainConfig
from model_core.training.data.pairs import RENDER_CHUNK, Render, render_all
from model_core.training.data.photos import Photos
from model_core.training.losses.code_losses import StyleLoss

SHEET_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The validation data of a run, all on the CPU.

    Attributes:
        pair_img: Generated images, 256 px.
        pair_ws: Their codes, float32.
        photos: Photographs, 256 px; may be empty.
    """

    pair_img: UInt8[Tensor, "n 3 size size"]
    pair_ws: Float[Tensor, "n num_ws w_dim"]
    photos: UInt8[Tensor, "m 3 size size"]


def hold_out(
    generator: Generator,
    render: Render,
    config: TrainConfig,
    photos: Photos | None,
    report: Callable[[str], object] | None = None,
) -> HeldOut:
    """Generate the held-out pairs, from a separate random stream, and read held-out photos.

    `report` receives a line about each unreadable photo, which is skipped.
    """
    random = seeded(config.seed, "held-out", 0)
    with torch.no_grad():
        ws = sample_codes(generator, config, config.validation_pairs, random)
    img = render_all(render, ws)
    held = (photos or Photos([])).read_first(config.validation_photos, report)
    return HeldOut(img, ws, held)


class Validator:
    """Measure a network, as means over images at 256 px, and write a contact sheet.

    The network runs in the training's precision; metrics are computed in float32.

    Args:
        held_out: On the CPU.
        render: W+ codes -> uint8 images on the CPU.
        style_loss: Compares codes; on the device of the networks.
        lpips: Compares images; on the device of the networks.
        precision: Precision of the network.
    """

    def __init__(
        self,
        held_out: HeldOut,
        render: Render,
        style_loss: StyleLoss,
        lpips: Perceptual,
        precision: Precision = FLOAT32,
    ):
        self._held_out, self._render, self._precision = held_out, render, precision
        self._style_loss, self._lpips = style_loss, lpips

    @torch.inference_mode()
    def __call__(
        self, network: EmbeddingNetwork, sheet: Path, render: Render | None = None
    ) -> dict[str, float]:
        """Measure a network.

        Args:
            network: Network to measure, on its device.
            sheet: File to write: inputs above the images of their codes.
            render: Replaces the validator's own render function if the generator is trained too.

        Returns:
            Style loss on pairs; MSE on [-1, 1], PSNR in dB and LPIPS on pairs and on photos.
        """
        device = next(network.parameters()).device
        held_out = self._held_out
        figures: dict[str, float] = {}
        pictures = []
        for name, img in (("pairs", held_out.pair_img), ("photos", held_out.photos)):
            if not len(img):
                continue
            ws = torch.cat(
                [self._embed(network, chunk, device) for chunk in img.split(RENDER_CHUNK)]
            )
            rendered = render_all(render or self._render, ws)
            compared = compare(img, rendered, self._lpips, device)
            figures |= {f"{name}/{k}": v for k, v in compared.items()}
            if name == "pairs":
                error = self._style_loss(ws, held_out.pair_ws.to(device))
                figures["pairs/style_loss"] = error.mean().item()
            pictures += [img[:SHEET_COLUMNS], rendered[:SHEET_COLUMNS]]
            if name == "photos":
                more = slice(SHEET_COLUMNS, 2 * SHEET_COLUMNS)
                pictures += [img[more], rendered[more]]
        draw_sheet([[to_pixels(img) for img in row] for row in pictures], sheet)
        return figures

    def _embed(
        self,
        network: EmbeddingNetwork,
        img: UInt8[Tensor, "n 3 size size"],
        device: torch.device,
    ) -> Float[Tensor, "n num_ws w_dim"]:
        with self._precision.autocast(device.type):
            ws: Tensor = network(to_float(img.to(device)))
        return ws.float()


def compare(
    img: UInt8[Tensor, "n 3 size size"],
    rendered: UInt8[Tensor, "n 3 size size"],
    lpips: Perceptual,
    device: torch.device,
) -> dict[str, float]:
    """Return the mean MSE on [-1, 1], PSNR in dB and LPIPS between images and renderings.

    Args:
        img: On the CPU.
        rendered: On the CPU.
        lpips: Perceptual distance, on the device.
        device: Device of lpips.
    """
    a, b = to_float(img), to_float(rendered)
    chunks = zip(a.split(RENDER_CHUNK), b.split(RENDER_CHUNK), strict=True)
    distance = [lpips(x.to(device), y.to(device)) for x, y in chunks]
    return {
        "mse": mse(a, b).mean().item(),
        "psnr": psnr(a, b).mean().item(),
        lpips.name: torch.cat(distance).mean().item(),
    }
