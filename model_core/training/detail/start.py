"""Initialise the detail encoder: measure the features' spread and fit the sketch to images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.encoders.detail_encoder import CELL_PX, DetailEncoder
from model_core.images import to_float
from model_core.shapes import ByteImages
from model_core.training.data.pairs import RENDER_CHUNK
from model_core.training.detail.path import DetailPath, FeatureUnits

RIDGE = 1e-4
"""Ridge as a fraction of each feature's mean square, so that the fit has one solution."""

READ_GAIN = 0.3
"""Initial size of the features' part of the first layer's output, relative to the sketch's."""


@torch.no_grad()
def begin(encoder: DetailEncoder, path: DetailPath, photos: ByteImages) -> None:
    """Measure the features' spread and initialise the encoder for them, both in place.

    The sketch becomes the least-squares fit from the codes' features to their rendered images; the
    decoder is scaled so that a detail of ones corrects features by about their spread.

    Args:
        encoder: Untrained, on the CPU.
        path: On its device; its units are set here.
        photos: One or more photos, whose codes are rendered.
    """
    device = path.units.spread.device
    count = encoder.config.features + 1
    squares = torch.zeros(count, count, dtype=torch.float64)
    products = torch.zeros(count, encoder.sketch.out_channels, dtype=torch.float64)
    places = 0
    for chunk in photos.split(RENDER_CHUNK):
        ws, features = path.embed(to_float(chunk.to(device)))
        pixels = F.pixel_unshuffle(path.render(features, ws).clamp(-1, 1), CELL_PX)
        x = _rows(path.units.from_units(features))
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)  # the last column is the bias
        squares += (x.T @ x).cpu()
        products += (x.T @ _rows(pixels)).cpu()
        places += len(x)
    mean = squares[-1, :-1] / places
    spread = (squares.diagonal()[:-1] / places - mean.square()).clamp_min(0).sqrt().float()
    path.units.spread.copy_(FeatureUnits(spread).spread)
    ridge = RIDGE * squares.diagonal().diag()
    weight = torch.linalg.solve(squares + ridge, products).T.float()  # (pixels, features + 1)
    unit = path.units.spread.cpu()
    encoder.sketch.weight.copy_((weight[:, :-1] * unit)[:, :, None, None])
    encoder.sketch.bias.copy_(weight[:, -1])  # type: ignore[union-attr]
    nn.init.normal_(encoder.read.weight, std=READ_GAIN * encoder.config.features**-0.5)
    nn.init.normal_(encoder.decoder.weight, std=encoder.config.bottleneck**-0.5)


def _rows(x: Float[Tensor, "batch channels px px"]) -> Float[Tensor, "places channels"]:
    """Return one row per position of each item, in float64."""
    return x.permute(0, 2, 3, 1).flatten(0, 2).double()
