"""StyleGAN2: modulated convolutions and an image that is summed over the sizes.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", and "Training
Generative Adversarial Networks with Limited Data" (half precision and its clamp). Weights include
what the originals multiply at run time: equalised scale, gain and learning rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_core.generators.contract import Generator
from model_core.generators.modulation import modulated_conv, upsample
from model_core.generators.ops import leaky_relu

ACTIVATION_GAIN = 2**0.5


@dataclass(frozen=True, slots=True)
class StyleGAN2Config:
    """Sizes of the network; saved with its weights.

    Attributes:
        widths: Channels at each size, from 4 px up; every entry doubles the size.
        w_dim: Width of z and of a row of W+.
        mapping_layers: Layers of the mapping network.
        clamp: Bound on the features, which half precision needs; 0 for none.
    """

    widths: tuple[int, ...]
    w_dim: int = 512
    mapping_layers: int = 8
    clamp: float = 0.0

    @property
    def num_ws(self) -> int:
        """Rows of a code: two per size."""
        return 2 * len(self.widths)

    @property
    def img_resolution(self) -> int:
        """Side of the image, px."""
        return int(2 ** (len(self.widths) + 1))


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias, activation."""

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, size_px: int, up: bool, config: StyleGAN2Config):
        super().__init__()
        self.up, self.clamp = up, config.clamp
        self.affine = nn.Linear(config.w_dim, inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3) * (9 * inputs) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.zeros(1, 1, size_px, size_px))

    def forward(
        self,
        x: Float[Tensor, "batch inputs size size"],
        w: Float[Tensor, "batch w_dim"],
        noise: Float[Tensor, "..."] | None,
    ) -> Float[Tensor, "batch outputs size2 size2"]:
        """Apply the layer with the style read from w; noise None means the layer's own."""
        x = modulated_conv(x, self.weight, self.affine(w), self.up)
        x = x + self.noise_strength * (self.noise if noise is None else noise.to(x.dtype))
        x = leaky_relu(x + self.bias[:, None, None]) * ACTIVATION_GAIN
        return x.clamp(-self.clamp, self.clamp) if self.clamp else x


class ToImage(nn.Module):
    """Features to RGB: a modulated 1x1 convolution without demodulation, then in float32."""

    def __init__(self, inputs: int, config: StyleGAN2Config):
        super().__init__()
        self.clamp = config.clamp
        self.affine = nn.Linear(config.w_dim, inputs)
        self.conv = nn.Conv2d(inputs, 3, 1)

    def forward(
        self, x: Float[Tensor, "batch inputs size size"], w: Float[Tensor, "batch w_dim"]
    ) -> Float[Tensor, "batch 3 size size"]:
        """Return the contribution of these features to the image."""
        img: Tensor = self.conv(x * self.affine(w)[:, :, None, None])
        img = img.clamp(-self.clamp, self.clamp) if self.clamp else img
        return img.float()


class StyleGAN2(Generator):
    """StyleGAN2 with skip connections, any power of two as its size.

    Row r drives convolution r, and odd rows also drive the image layer after it.

    Not covered: class labels; the residual architecture.
    """

    const: Tensor

    def __init__(self, config: StyleGAN2Config):
        super().__init__(config)
        self.config = config
        self.register_buffer("const", torch.randn(1, config.widths[0], 4, 4))
        self.layers = nn.ModuleList()
        self.to_img = nn.ModuleList()
        inputs = config.widths[0]
        for i, width in enumerate(config.widths):
            if i:
                self.layers.append(StyledConv(inputs, width, 4 << i, up=True, config=config))
            self.layers.append(StyledConv(width, width, 4 << i, up=False, config=config))
            self.to_img.append(ToImage(width, config))
            inputs = width

    def synthesis(
        self,
        ws: Float[Tensor, "batch num_ws w_dim"],
        noise: Sequence[Float[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "batch 3 height width"]:
        """Render W+ codes; noise maps have unit variance, one per convolution."""
        maps = noise if noise is not None else [None] * len(self.layers)
        x = self.const.expand(len(ws), -1, -1, -1)
        img: Tensor | None = None
        for row, (layer, noise_map) in enumerate(zip(self.layers, maps, strict=True)):
            x = layer(x, ws[:, row], noise_map)
            if row % 2 == 0:
                added = self.to_img[row // 2](x, ws[:, row + 1])
                img = added if img is None else upsample(img) + added
        assert img is not None  # noqa: S101
        return img

    def style_matrices(self) -> list[Float[Tensor, "styles w_dim"]]:
        """Return the stacked linear maps through which the network reads each row of W+."""
        rows: list[list[Any]] = [[layer.affine.weight] for layer in self.layers] + [[]]  # type: ignore[union-attr]
        for i, to_img in enumerate(self.to_img):
            rows[2 * i + 1].append(to_img.affine.weight)  # type: ignore[union-attr]
        return [torch.cat(row) for row in rows]
