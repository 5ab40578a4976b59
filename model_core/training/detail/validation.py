"""Metrics and contact sheets of a detail encoder on held-out photographs."""

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from model_core.contact_sheet import draw_sheet
from model_core.encoders.detail_encoder import DetailEncoder
from model_core.images import to_float, to_pixels, to_uint8
from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import ByteImages
from model_core.training.data.pairs import RENDER_CHUNK
from model_core.training.detail.path import DetailPath
from model_core.training.validation import SHEET_COLUMNS, compare


class DetailValidator:
    """Compare the full generator's output with and without detail; means over photos.

    Args:
        photos: Held-out photos, 256 px, on the CPU; without any, nothing is measured.
        path: The frozen networks, on their device.
        lpips: Perceptual distance, on that device.
    """

    def __init__(self, photos: ByteImages, path: DetailPath, lpips: Perceptual):
        self._photos, self._path, self._lpips = photos, path, lpips

    @torch.inference_mode()
    def __call__(self, encoder: DetailEncoder, sheet: Path) -> dict[str, float]:
        """Measure an encoder.

        Args:
            encoder: Works on features in the path's units; on the path's device.
            sheet: File to write: the photos, and below them their images without and with detail.

        Returns:
            MSE on [-1, 1], PSNR in dB and LPIPS, with detail (`photos/...`) and without
            (`code_alone/...`), and the details' root mean square (`photos/detail`).
        """
        if not len(self._photos):
            return {}
        rendered, sizes = [], []
        for chunk in self._photos.split(RENDER_CHUNK):
            photos = self._moved(chunk)
            ws, features = self._path.embed(photos)
            detail, corrected = self._path.correct(encoder, photos, features, ws)
            sizes.append(detail.square().mean(dim=(1, 2, 3)))
            rendered.append(to_uint8(self._path.render(corrected, ws, true_output=True)).cpu())
        img = torch.cat(rendered)
        pictures = []
        for first in range(0, min(2 * SHEET_COLUMNS, len(img)), SHEET_COLUMNS):
            some = slice(first, first + SHEET_COLUMNS)
            pictures += [self._photos[some], self._alone[some], img[some]]
        draw_sheet([[to_pixels(one) for one in row] for row in pictures], sheet)
        figures = {"photos/detail": torch.cat(sizes).mean().sqrt().item()}
        for name, made in (("photos", img), ("code_alone", self._alone)):
            compared = compare(self._photos, made, self._lpips, self._device)
            figures |= {f"{name}/{key}": value for key, value in compared.items()}
        return figures

    @cached_property
    def _alone(self) -> ByteImages:
        """Images of the codes without detail, which are the same at every validation."""
        rendered = []
        for chunk in self._photos.split(RENDER_CHUNK):
            ws, features = self._path.embed(self._moved(chunk))
            rendered.append(to_uint8(self._path.render(features, ws, true_output=True)).cpu())
        return torch.cat(rendered)

    @property
    def _device(self) -> torch.device:
        return self._path.units.spread.device

    def _moved(self, chunk: ByteImages) -> Tensor:
        return to_float(chunk.to(self._device))
