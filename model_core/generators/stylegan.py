"""StyleGAN: adaptive instance normalisation, noise and an image layer for every stage of growth.

Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial
Networks". Weights hold what the original multiplies at run time: equalised scale and learning rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.generators.contract import Generator
from model_core.generators.ops import binomial_kernel, filter_channels, leaky_relu

NORM_EPS = 1e-8
BLUR_TAPS = (1, 2, 1)


@dataclass(frozen=True, slots=True)
class StyleGANConfig:
    """Sizes of the network; saved with its weights.

    Attributes:
        widths: Channels at each size, from 4 px up; every entry doubles the size.
        w_dim: Width of z and of a row of W+.
        mapping_layers: Layers of the mapping network.
        heads: Image layers, counted from the largest size down; all but one are for growth only.
        lod: Level of detail at which training stopped: 0 has grown to the full size; at 1.25 the
            image is three quarters of half size and one of a quarter of it, doubled to the end.
    """

    widths: tuple[int, ...]
    w_dim: int = 512
    mapping_layers: int = 8
    heads: int = 1
    lod: float = 0.0

    @property
    def num_ws(self) -> int:
        """Rows of a code: two per size."""
        return 2 * len(self.widths)

    @property
    def img_resolution(self) -> int:
        """Side of the image, px."""
        return int(2 ** (len(self.widths) + 1))


def upscale_conv(
    x: Float[Tensor, "batch inputs height width"], weight: Float[Tensor, "outputs inputs 3 3"]
) -> Float[Tensor, "batch outputs height2 width2"]:
    """Double the size by repetition and convolve, in a single transposed convolution.

    Each pixel needs four taps of the 4x4 kernel instead of nine of the 3x3 one;
    `reference.upscale_conv` is the plain form.
    """
    # A transposed convolution spreads: kernel turned by half, inputs first. (inputs, outputs, 5, 5)
    w = F.pad(weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))
    # Up to four taps meet each pixel repeated twice in both dimensions: their sum, 4x4.
    w = w[..., 1:, 1:] + w[..., :-1, 1:] + w[..., 1:, :-1] + w[..., :-1, :-1]
    return F.conv_transpose2d(x, w, stride=2, padding=1)


def instance_norm(
    x: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch channels height width"]:
    """Normalise every channel to zero mean and unit variance, in float32 at least."""
    # In half precision the sum of squares of a large map would overflow.
    wide = x if x.dtype == torch.float64 else x.float()
    wide = wide - wide.mean(dim=(2, 3), keepdim=True)
    return (wide * (wide.square().mean(dim=(2, 3), keepdim=True) + NORM_EPS).rsqrt()).to(x.dtype)


class Layer(nn.Module):
    """Convolution (none at the constant), noise, bias, activation, normalisation, style."""

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, size_px: int, w_dim: int, up: bool):
        super().__init__()
        self.up = up
        if inputs:
            self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3) * (4.5 * inputs) ** -0.5)
        else:
            self.register_parameter("weight", None)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(outputs))
        self.affine = nn.Linear(w_dim, 2 * outputs)
        self.register_buffer("noise", torch.zeros(1, 1, size_px, size_px))

    def forward(
        self,
        x: Float[Tensor, "batch inputs size size"],
        w: Float[Tensor, "batch w_dim"],
        noise: Float[Tensor, "..."] | None,
    ) -> Float[Tensor, "batch outputs size2 size2"]:
        """Apply the layer with the style read from w; noise None means the layer's own."""
        if self.up:
            x = filter_channels(upscale_conv(x, self.weight), binomial_kernel(BLUR_TAPS, x), 1)
        elif self.weight is not None:
            x = F.conv2d(x, self.weight, padding=1)
        own = self.noise if noise is None else noise.to(x.dtype)
        x = x + self.noise_strength[:, None, None] * own + self.bias[:, None, None]
        x = instance_norm(leaky_relu(x))
        # (batch, 2 * outputs) -> two of (batch, outputs, 1, 1)
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)
        out: Tensor = x * (scale + 1) + shift
        return out


class StyleGAN(Generator):
    """The generator of the paper: 18 rows at 1024 px, any power of two as its size.

    Rows 2i and 2i+1 drive the two layers of size 4 * 2**i.

    Not covered: class labels.
    """

    const: Tensor

    def __init__(self, config: StyleGANConfig):
        super().__init__(config)
        self.config = config
        self.register_buffer("const", torch.ones(1, config.widths[0], 4, 4))
        self.layers = nn.ModuleList()
        inputs = 0
        for i, width in enumerate(config.widths):
            self.layers.append(Layer(inputs, width, 4 << i, config.w_dim, up=i > 0))
            self.layers.append(Layer(width, width, 4 << i, config.w_dim, up=False))
            inputs = width
        heads = config.widths[len(config.widths) - config.heads :]
        self.to_img = nn.ModuleList(nn.Conv2d(width, 3, 1) for width in heads)

    def synthesis(
        self,
        ws: Float[Tensor, "batch num_ws w_dim"],
        noise: Sequence[Float[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "batch 3 height width"]:
        """Render W+ codes; noise maps have unit variance, one per layer."""
        maps = noise if noise is not None else [None] * len(self.layers)
        done, blend = int(self.config.lod), self.config.lod % 1
        x = self.const.expand(len(ws), -1, -1, -1)
        smaller = x
        for row, layer in enumerate(self.layers[: len(self.layers) - 2 * done]):
            if row % 2 == 0:
                smaller = x
            x = layer(x, ws[:, row], maps[row])
        img = self.to_img[len(self.to_img) - 1 - done](x)
        if blend:
            before = self.to_img[len(self.to_img) - 2 - done](smaller)
            img = torch.lerp(img, F.interpolate(before, scale_factor=2), blend)
        return F.interpolate(img, scale_factor=2**done) if done else img

    def style_matrices(self) -> list[Float[Tensor, "styles w_dim"]]:
        """Return the stacked linear maps through which the network reads each row of W+."""
        return [layer.affine.weight for layer in self.layers]  # type: ignore[union-attr, misc]
