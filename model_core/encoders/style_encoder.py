"""Encoders that users bring beside their generators: pSp, e4e and ReStyle.

Source: Richardson et al. 2021, "Encoding in Style"; Tov et al. 2021, "Designing an Encoder for
StyleGAN Image Manipulation"; Alaluf et al. 2021, "ReStyle". Modules keep the names of the projects.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.encoders.irse import IRBody
from model_core.errors import InvalidInputError
from model_core.generators.contract import Generator

FACE_PX = 256
MIDDLE_ROW, FINE_ROW = 3, 7
"""First rows that read the middle and the large features of a pyramid."""


@dataclass(frozen=True, slots=True)
class StyleEncoderConfig:
    """Kind of the encoder; saved beside its weights.

    Attributes:
        num_ws: Rows of a code.
        pyramid: Whether rows read features of three sizes (pSp, e4e) or the last only (ReStyle).
        residual_rows: Whether later rows are differences to the first (e4e).
        steps: Passes; more than one means that it looks at its own reconstruction (ReStyle).
    """

    num_ws: int
    pyramid: bool = True
    residual_rows: bool = False
    steps: int = 1


class StyleHead(nn.Module):
    """Convolutions that halve features down to one cell, then a linear map to one row."""

    def __init__(self, side: int):
        super().__init__()
        steps = int(math.log2(side))
        convs = [m for _ in range(steps) for m in (nn.Conv2d(512, 512, 3, 2, 1), nn.LeakyReLU())]
        self.convs = nn.Sequential(*convs)
        self.linear = nn.Linear(512, 512)

    def forward(self, x: Float[Tensor, "n 512 side side"]) -> Float[Tensor, "n 512"]:
        """Compute the row."""
        return self.linear(self.convs(x).flatten(1))  # type: ignore[no-any-return]


class StyleEncoder(nn.Module):
    """Aligned faces to W+ codes.

    Args:
        config: Kind.
        generator: Renders what a ReStyle encoder looks at; not needed for one step.
    Raises:
        InvalidInputError: If the generator is needed and not given.
    """

    mean: Tensor

    def __init__(self, config: StyleEncoderConfig, generator: Generator | None = None):
        super().__init__()
        if config.steps > 1 and generator is None:
            raise InvalidInputError(f"generator must be given for {config.steps} steps, got none")
        self.config = config
        trunk = IRBody(6 if config.steps > 1 else 3)
        self.input_layer, self.body = trunk.input_layer, trunk.body
        self._stages = trunk.stages  # bound to the same layers, registered once
        sides = [16] * MIDDLE_ROW + [32] * (FINE_ROW - MIDDLE_ROW) + [64] * config.num_ws
        self.styles = nn.ModuleList(
            StyleHead(side if config.pyramid else 16) for side in sides[: config.num_ws]
        )
        if config.pyramid:
            self.latlayer1 = nn.Conv2d(256, 512, 1)
            self.latlayer2 = nn.Conv2d(128, 512, 1)
        self.register_buffer("mean", torch.zeros(config.num_ws, 512))
        self.generator = generator

    def forward(self, img: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, "n num_ws 512"]:
        """Embed aligned faces in [-1, 1]."""
        ws = self.mean.expand(len(img), -1, -1)
        if self.generator is None or self.config.steps == 1:
            return ws + self._rows(img)
        for _ in range(self.config.steps):
            shown = F.adaptive_avg_pool2d(self.generator.synthesis(ws), FACE_PX)
            ws = ws + self._rows(torch.cat([img, shown], dim=1))
        return ws

    def _rows(self, x: Float[Tensor, "n c 256 256"]) -> Float[Tensor, "n num_ws 512"]:
        _, large, middle, small = self._stages(x)
        features = [small] * self.config.num_ws
        if self.config.pyramid:
            middle = self.latlayer1(middle) + _resized(small, middle)
            large = self.latlayer2(large) + _resized(middle, large)
            features[MIDDLE_ROW:] = [middle] * (FINE_ROW - MIDDLE_ROW)
            features[FINE_ROW:] = [large] * self.config.num_ws
        # The shortest codes end before the finest features.
        rows = [style(feature) for style, feature in zip(self.styles, features, strict=False)]
        if self.config.residual_rows:
            rows = [rows[0], *(rows[0] + row for row in rows[1:])]
        return torch.stack(rows, dim=1)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)
