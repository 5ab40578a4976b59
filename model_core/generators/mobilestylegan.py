"""MobileStyleGAN: StyleGAN2's mapping network and a wavelet generator of depthwise convolutions.

Source: Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural Network for
High-Fidelity Image Synthesis". The weights were distilled from StyleGAN2 FFHQ config-f, whose
mapping network they keep, so W and W+ here are StyleGAN2-FFHQ's. Demodulation is folded into the
convolutions and noise is fixed, as in the published inference graph.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_core.generators.contract import Generator
from model_core.generators.ops import inverse_haar, leaky_relu


@dataclass(frozen=True, slots=True)
class MobileStyleGANConfig:
    """Sizes of the network; saved with its weights."""

    w_dim: int = 512
    mapping_layers: int = 8
    const_size_px: int = 4
    widths: tuple[int, ...] = (512, 512, 512, 512, 256, 128, 64)

    @property
    def num_ws(self) -> int:
        """Rows of StyleGAN2 at the same resolution: two per size from 4 px up."""
        return 2 * (len(self.widths) + 2)

    @property
    def img_resolution(self) -> int:
        """Side of the image: every block doubles the constant, the last wavelet once more."""
        return int(self.const_size_px * 2 ** (len(self.widths) + 1))


class StyledConv(nn.Module):
    """Scale the input channels by the style, convolve, add noise and bias, activate."""

    noise: Tensor

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, size_px: int, dense: bool):
        super().__init__()
        self.affine = nn.Linear(w_dim, in_channels)
        self.depthwise: nn.Module = nn.Identity()
        if dense:
            self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        else:
            self.depthwise = nn.Conv2d(
                in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False
            )
            self.conv = nn.Conv2d(in_channels, out_channels, 1)
        self.register_buffer("noise", torch.zeros(1, 1, size_px, size_px))

    def forward(
        self,
        x: Float[Tensor, "batch channels size size"],
        w: Float[Tensor, "batch w_dim"],
        noise: Float[Tensor, "..."] | None,
    ) -> Float[Tensor, "batch out size size"]:
        """Apply the layer with the style read from w; noise None means the fixed noise."""
        x = self.conv(self.depthwise(x * self.affine(w)[:, :, None, None]))
        return leaky_relu(x + (self.noise if noise is None else noise))


class Block(nn.Module):
    """Double the size by an inverse wavelet, then apply two styled separable convolutions."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, size_px: int):
        super().__init__()
        bands = in_channels // 4
        self.up_affine = nn.Linear(w_dim, in_channels)
        self.conv1 = StyledConv(bands, out_channels, w_dim, size_px, dense=False)
        self.conv2 = StyledConv(out_channels, out_channels, w_dim, size_px, dense=False)

    def forward(
        self,
        x: Float[Tensor, "batch channels size size"],
        w1: Float[Tensor, "batch w_dim"],
        w2: Float[Tensor, "batch w_dim"],
        noise: Iterator[Float[Tensor, "..."] | None],
    ) -> Float[Tensor, "batch out size2 size2"]:
        """Apply the block: w1 drives the wavelet and the first convolution, w2 the second."""
        x = inverse_haar(x * self.up_affine(w1)[:, :, None, None])
        x = self.conv1(x, w1, next(noise))
        out: Tensor = self.conv2(x, w2, next(noise))
        return out


class MobileStyleGAN(Generator):
    """The default generator: 1024 px FFHQ faces in 7.3 GMAC.

    Rows keep StyleGAN2's resolutions: row 0 drives the 4 px convolution, rows 2l+1 and 2l+2
    block l, and the image layer reads the mean of the last three.
    """

    const: Tensor

    def __init__(self, config: MobileStyleGANConfig | None = None):
        config = config or MobileStyleGANConfig()
        super().__init__(config)
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        self.register_buffer("const", torch.zeros(1, first, *[config.const_size_px] * 2))
        self.conv = StyledConv(first, first, config.w_dim, config.const_size_px, dense=True)
        inputs = (first, *config.widths[:-1])
        self.blocks = nn.ModuleList(
            Block(inputs[i], width, config.w_dim, config.const_size_px * 2 ** (i + 1))
            for i, width in enumerate(config.widths)
        )
        self.to_img_affine = nn.Linear(config.w_dim, last)
        self.to_img = nn.Conv2d(last, 12, 1)

    def features(
        self,
        ws: Float[Tensor, "batch num_ws w_dim"],
        blocks: int,
        noise: Sequence[Float[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "batch channels size size"]:
        """Run the constant and the first blocks only; an image head can follow."""
        maps = iter(noise if noise is not None else [None] * (2 * len(self.blocks) + 1))
        x = self.conv(self.const.expand(len(ws), -1, -1, -1), ws[:, 0], next(maps))
        for i, block in enumerate(self.blocks[:blocks]):
            x = block(x, ws[:, 2 * i + 1], ws[:, 2 * i + 2], maps)
        return x  # type: ignore[no-any-return]

    def synthesis(
        self,
        ws: Float[Tensor, "batch num_ws w_dim"],
        noise: Sequence[Float[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "batch 3 height width"]:
        """Render W+ codes; noise maps are added unscaled."""
        return self.tail(self.features(ws, len(self.blocks), noise), ws, len(self.blocks))

    def tail(
        self,
        features: Float[Tensor, "batch channels size size"],
        ws: Float[Tensor, "batch num_ws w_dim"],
        blocks: int,
    ) -> Float[Tensor, "batch 3 height width"]:
        """Render the features of the first blocks with the others; RGB as in `synthesis`."""
        x = features
        fixed = repeat(None)
        for i, block in enumerate(self.blocks[blocks:], start=blocks):
            x = block(x, ws[:, 2 * i + 1], ws[:, 2 * i + 2], fixed)
        style = self.to_img_affine(ws[:, -3:].mean(dim=1))
        return inverse_haar(self.to_img(x * style[:, :, None, None]))

    def style_matrices(self) -> list[Float[Tensor, "styles w_dim"]]:
        """Return the stacked linear maps through which the network reads each row of W+."""
        affines = [[self.conv.affine]]
        for block in self.blocks:
            affines += [[block.up_affine, block.conv1.affine], [block.conv2.affine]]  # type: ignore[union-attr, list-item]
        affines += [[self.to_img_affine]] * 3
        return [torch.cat([affine.weight for affine in row]) for row in affines]
