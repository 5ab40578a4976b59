"""A cheap image head for MobileStyleGAN: small images from the features of its lower blocks.

The published weights keep only the 1024 px output. A head is fitted to that output, brought to a
smaller size by area, so that losses at that size need not run the largest blocks.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.generators.mobilestylegan import LEAKY_SLOPE, MobileStyleGAN, MobileStyleGANConfig
from model_core.generators.ops import inverse_haar


@dataclass(frozen=True, slots=True)
class ImageHeadConfig:
    """Sizes of the head; saved beside its weights.

    Attributes:
        blocks: Blocks of the generator below the head.
        in_channels: Width of the last of them.
        in_px: Size of its features; the image has twice that.
        width: Channels inside the head.
        late_ws: Rows of W+ that only the skipped blocks read.
        w_dim: Width of a row.
    """

    blocks: int
    in_channels: int
    in_px: int
    width: int
    late_ws: int
    w_dim: int

    @property
    def img_px(self) -> int:
        """Side of the image."""
        return 2 * self.in_px

    @classmethod
    def above(cls, generator: MobileStyleGANConfig, blocks: int) -> "ImageHeadConfig":
        """Return the sizes of a head that stands on the first blocks of a generator."""
        channels = generator.widths[blocks - 1]
        return cls(
            blocks=blocks,
            in_channels=channels,
            in_px=generator.const_size_px * 2**blocks,
            width=channels // 2,
            late_ws=generator.num_ws - 2 * blocks - 1,
            w_dim=generator.w_dim,
        )


class ImageHead(nn.Module):
    """Features of a lower block and the late rows of W+ -> RGB at twice the features' size.

    Two modulated layers stand for the skipped blocks; a fixed map stands for their fixed noise.
    """

    def __init__(self, config: ImageHeadConfig):
        super().__init__()
        self.config = config
        late, width = config.late_ws * config.w_dim, config.width
        self.style1 = nn.Linear(late, config.in_channels)
        self.style2 = nn.Linear(late, width)
        self.conv1 = nn.Conv2d(config.in_channels, width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.conv2 = nn.Conv2d(width, width, 1)
        self.to_img = nn.Conv2d(width, 12, 1)
        self.noise = nn.Parameter(torch.zeros(1, 12, config.in_px, config.in_px))
        for style in (self.style1, self.style2):
            nn.init.normal_(style.weight, std=0.1 * late**-0.5)
            nn.init.ones_(style.bias)

    def forward(
        self,
        features: Float[Tensor, "batch channels size size"],
        ws: Float[Tensor, "batch num_ws w_dim"],
    ) -> Float[Tensor, "batch 3 size2 size2"]:
        """Turn features into an image, nominally in [-1, 1] and not clamped."""
        late = ws[:, -self.config.late_ws :].flatten(1)
        x = self.conv1(features * self.style1(late)[:, :, None, None])
        x = self.depthwise(F.leaky_relu(x, LEAKY_SLOPE)) * self.style2(late)[:, :, None, None]
        x = self.to_img(F.leaky_relu(self.conv2(x), LEAKY_SLOPE))
        return inverse_haar(x + self.noise)


class HeadedGenerator(nn.Module):
    """The generator cut below its last blocks, with an image head: W+ codes -> small images."""

    def __init__(self, generator: MobileStyleGAN, head: ImageHead):
        super().__init__()
        self.generator, self.head = generator, head

    def forward(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, "batch 3 size size"]:
        """Render codes; differentiable in all rows."""
        return self.head(self.generator.features(ws, self.head.config.blocks), ws)  # type: ignore[no-any-return]
