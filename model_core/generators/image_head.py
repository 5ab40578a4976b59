"""A cheap image head for MobileStyleGAN: 256 px from its 128 px features.

The published weights keep only the 1024 px output. This head is fitted to that output, brought to
256 px by area, so that losses at 256 px need not run the two largest blocks.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.generators.mobilestylegan import LEAKY_SLOPE, MobileStyleGAN
from model_core.generators.ops import inverse_haar


@dataclass(frozen=True, slots=True)
class ImageHeadConfig:
    """Sizes of the head; saved beside its weights.

    Attributes:
        blocks: Blocks of the generator below the head.
        in_channels: Width of the last of them.
        in_px: Size of its features.
        width: Channels inside the head.
        late_ws: Rows of W+ that only the skipped blocks read.
        w_dim: Width of a row.
    """

    blocks: int = 5
    in_channels: int = 256
    in_px: int = 128
    width: int = 128
    late_ws: int = 7
    w_dim: int = 512


class ImageHead(nn.Module):
    """Features of a lower block and the late rows of W+ -> RGB at twice the features' size.

    Two modulated layers stand for the skipped blocks; a fixed map stands for their fixed noise.
    """

    def __init__(self, config: ImageHeadConfig | None = None):
        super().__init__()
        self.config = config = config or ImageHeadConfig()
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
    """The generator cut below its last blocks, with an image head: W+ codes -> 256 px images."""

    def __init__(self, generator: MobileStyleGAN, head: ImageHead):
        super().__init__()
        self.generator, self.head = generator, head

    def forward(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, "batch 3 size size"]:
        """Render codes; differentiable in all rows."""
        return self.head(self.generator.features(ws, self.head.config.blocks), ws)  # type: ignore[no-any-return]
