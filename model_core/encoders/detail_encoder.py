"""The detail encoder D: what a W+ code leaves out of a photo, as a correction to features.

It reads the photo, the code and the generator's features of that code at 64 px, and outputs the
detail: a small tensor that travels with the code. Decoded, the detail is added to the features,
and the generator's upper blocks render the sum.

Source: the idea is that of Yao et al. 2022, "Feature-Style Encoder for Style-Based GAN Inversion",
and of Bobkov et al. 2024, "The Devil is in the Details: StyleFeatureEditor". Their encoders take
over 100 GMAC; this one takes 3.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

CELL_PX = 4
"""Side of the square of photo pixels that corresponds to one feature."""

DETAIL_LIMIT = 1000.0
"""Largest value that a detail may have; those of photos stay below 30."""


@dataclass(frozen=True, slots=True)
class DetailEncoderConfig:
    """Sizes of the network; saved with its weights.

    Attributes:
        blocks: Number of generator blocks below the features that are corrected.
        features: Channels of these features.
        features_px: Side of these features; the photo's is CELL_PX times as long.
        bottleneck: Channels of the detail.
        width: Channels of the network at the features' size.
        half_width: Channels at half of that size.
        quarter_width: Channels at a quarter of that size.
        separable_layers: Separable layers at the features' size.
        half_layers: Residual layers at half of it; the quarter size comes after the first half of
            them, rounded up.
        quarter_layers: Residual layers at a quarter of it.
        first_row: First row of W+ that the network reads: that of the first block above.
        rows: How many rows it reads.
        w_dim: Width of a row.
    """

    blocks: int = 4
    features: int = 512
    features_px: int = 64
    bottleneck: int = 128
    width: int = 128
    half_width: int = 160
    quarter_width: int = 192
    separable_layers: int = 3
    half_layers: int = 2
    quarter_layers: int = 2
    first_row: int = 9
    rows: int = 4
    w_dim: int = 512


class ResidualLayer(nn.Module):
    """Two 3x3 convolutions with a skip connection."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        _zero(self.conv2)

    def forward(
        self, x: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch channels size size"]:
        """Return x + convolutions(x)."""
        out: Tensor = x + self.conv2(F.silu(self.conv1(F.silu(x))))
        return out


class SeparableLayer(nn.Module):
    """A depthwise 3x3 convolution and two pointwise ones, with a skip connection."""

    def __init__(self, channels: int):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = nn.Conv2d(2 * channels, channels, 1)
        _zero(self.narrow)

    def forward(
        self, x: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch channels size size"]:
        """Return x + convolutions(x)."""
        out: Tensor = x + self.narrow(F.silu(self.widen(self.depthwise(x))))
        return out


class DetailEncoder(nn.Module):
    """Photo, features and code -> detail; detail -> correction of the features.

    Untrained, it outputs a detail of zeros.

    Args:
        config: Sizes.
        w_mean: Mean of W, (w_dim,), subtracted from the rows of codes.
        w_std: Standard deviation of W, (w_dim,), by which they are divided.
    """

    w_mean: Tensor
    w_std: Tensor

    def __init__(
        self,
        config: DetailEncoderConfig,
        w_mean: Float[Tensor, " w_dim"],
        w_std: Float[Tensor, " w_dim"],
    ):
        super().__init__()
        self.config = c = config
        cell = 3 * CELL_PX**2
        after = c.half_layers // 2
        self.sketch = nn.Conv2d(c.features, cell, 1)
        self.stem = nn.Conv2d(2 * cell, c.width, 3, padding=1)
        self.read = nn.Conv2d(c.features, c.width, 1, bias=False)
        self.down_half = nn.Conv2d(c.width, c.half_width, 2, 2)
        self.half_in = _residual(c.half_layers - after, c.half_width)
        self.down_quarter = nn.Conv2d(c.half_width, c.quarter_width, 2, 2)
        self.quarter = _residual(c.quarter_layers, c.quarter_width)
        self.up_half = nn.Conv2d(c.quarter_width, c.half_width, 1)
        self.half_out = _residual(after, c.half_width)
        self.up = nn.Conv2d(c.half_width, c.width, 1)
        self.layers = nn.Sequential(*(SeparableLayer(c.width) for _ in range(c.separable_layers)))
        self.style = nn.Linear(c.rows * c.w_dim, 2 * c.width + c.bottleneck)
        self.out = nn.Conv2d(c.width, c.bottleneck, 1)
        self.decoder = nn.Conv2d(c.bottleneck, c.features, 1, bias=False)
        _zero(self.style)
        _zero(self.out)
        self.register_buffer("w_mean", w_mean.clone())
        self.register_buffer("w_std", w_std.clone())

    def forward(
        self,
        photo: Float[Tensor, "batch 3 img_px img_px"],
        features: Float[Tensor, "batch features px px"],
        ws: Float[Tensor, "batch num_ws w_dim"],
    ) -> Float[Tensor, "batch bottleneck px px"]:
        """Compute the detail of aligned faces, RGB in [-1, 1], given their codes.

        Args:
            photo: The faces, CELL_PX times the features' side.
            features: The generator's features of the codes, after its first `blocks` blocks.
            ws: The codes.
        """
        c = self.config
        # (batch, 3, 256, 256) -> (batch, 48, 64, 64): the pixels of a cell become channels.
        pixels = F.pixel_unshuffle(photo, CELL_PX)
        # The sketch is what the features alone say about the image, so that the network sees what
        # the code has missed; rendering it would take as long as everything else.
        seen = torch.cat([pixels, pixels - self.sketch(features)], dim=1)
        seen = seen.contiguous(memory_format=torch.channels_last)
        fine = self.stem(seen) + self.read(features)  # (batch, width, 64, 64)
        half = self.half_in(self.down_half(F.silu(fine)))  # (batch, half_width, 32, 32)
        quarter = self.quarter(self.down_quarter(F.silu(half)))  # (batch, quarter_width, 16, 16)
        half = self.half_out(half + self.up_half(F.interpolate(quarter, scale_factor=2.0)))
        x = fine + self.up(F.interpolate(half, scale_factor=2.0))
        scale, shift, gain = self._styles(ws).split([c.width, c.width, c.bottleneck], dim=1)
        x = self.layers(x * (1 + scale) + shift)
        out: Tensor = self.out(F.silu(x)) * (1 + gain)
        return out

    def decode(
        self, detail: Float[Tensor, "batch bottleneck px px"]
    ) -> Float[Tensor, "batch features px px"]:
        """Convert details to the corrections that are added to the features; linear."""
        out: Tensor = self.decoder(detail)
        return out

    @torch.no_grad()
    def reorder(self, order: Int[Tensor, " features"]) -> None:
        """Permute the weights for features whose channel i was channel order[i]."""
        for reading in (self.sketch, self.read):
            reading.weight.copy_(reading.weight[:, order].clone())
        self.decoder.weight.copy_(self.decoder.weight[order].clone())

    @torch.no_grad()
    def rescale(self, unit: Float[Tensor, " features"]) -> None:
        """Change the weights for features whose channel i is measured in units of unit[i]."""
        for reading in (self.sketch, self.read):
            reading.weight.mul_(unit[:, None, None])
        self.decoder.weight.div_(unit[:, None, None, None])

    def _styles(self, ws: Float[Tensor, "batch num_ws w_dim"]) -> Float[Tensor, "batch styles 1 1"]:
        c = self.config
        rows = ws[:, c.first_row : c.first_row + c.rows]
        styles: Tensor = self.style(((rows - self.w_mean) / self.w_std).flatten(1))
        return styles[:, :, None, None]


def _residual(layers: int, channels: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualLayer(channels) for _ in range(layers)))


def _zero(layer: nn.Conv2d | nn.Linear) -> None:
    """Make a layer output zeros until it is trained."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
