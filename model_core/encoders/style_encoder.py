"""Encoders that users supply together with their generators: pSp, e4e and ReStyle.

Source: Richardson et al. 2021, "Encoding in Style"; Tov et al. 2021, "Designing an Encoder for
StyleGAN Image Manipulation"; Alaluf et al. 2021, "ReStyle". Modules keep the names of the projects.
"""

import math
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import resnet34

from model_core.encoders.irse import IRBody, run_stages
from model_core.errors import InvalidInputError
from model_core.generators.contract import Generator
from model_core.images import FACE_PX

MIDDLE_ROW, FINE_ROW = 3, 7
"""First rows that read the medium and the large features of a pyramid."""


@dataclass(frozen=True, slots=True)
class StyleEncoderConfig:
    """Kind of the encoder; saved with its weights.

    Attributes:
        num_ws: Rows of a code.
        pyramid: Whether rows read features of three sizes (pSp, e4e) or only the last (ReStyle).
        residual_rows: Whether later rows are differences from the first (e4e).
        steps: Number of passes.
        looks: Whether it also sees its own reconstruction (ReStyle), which several
            passes need.
        resnet: Whether its trunk is ResNet-34's instead of ArcFace's IR-SE-50.
    """

    num_ws: int
    pyramid: bool = True
    residual_rows: bool = False
    steps: int = 1
    looks: bool = False
    resnet: bool = False

    def __post_init__(self) -> None:
        """Set `looks` for several passes; older sidecars do not have it."""
        object.__setattr__(self, "looks", self.looks or self.steps > 1)


class ResNetBody(nn.Module):
    """ResNet-34 without its pooling, in the project's names, up to the features of 16 x 16.

    Source: models/encoders/restyle_psp_encoders.py of restyle-encoder (MIT), for the names.
    """

    def __init__(self, in_channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.PReLU(64)
        network = resnet34(weights=None)
        stages = (network.layer1, network.layer2, network.layer3, network.layer4)
        self.body = nn.Sequential(*(block for stage in stages for block in stage))
        self._ends = set(accumulate(len(stage) for stage in stages))

    def stages(self, x: Float[Tensor, "n c h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """Return the output of each of the four stages, the largest first."""
        return run_stages(self.body, self._ends, self.relu(self.bn1(self.conv1(x))))


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
        config: Kind of the encoder.
        generator: Renders the reconstruction that a ReStyle encoder sees; other kinds need none.
    Raises:
        InvalidInputError: If the generator is needed but not given.
    """

    mean: Tensor

    def __init__(self, config: StyleEncoderConfig, generator: Generator | None = None):
        super().__init__()
        if config.looks and generator is None:
            raise InvalidInputError(f"generator must be given for {config.steps} steps, got none")
        self.config = config
        trunk = (ResNetBody if config.resnet else IRBody)(6 if config.looks else 3)
        for name, layer in trunk.named_children():
            self.add_module(name, layer)
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
        if self.generator is None or not self.config.looks:
            return ws + self._rows(img)
        for _ in range(self.config.steps):
            shown = F.adaptive_avg_pool2d(self.generator.synthesis(ws), FACE_PX)
            ws = ws + self._rows(torch.cat([img, shown], dim=1))  # six channels: wanted, reached
        return ws

    def _rows(self, x: Float[Tensor, "n c 256 256"]) -> Float[Tensor, "n num_ws 512"]:
        _, large, middle, small = self._stages(x)
        features = [small] * self.config.num_ws  # one map of 512 channels a row, 16 px
        if self.config.pyramid:
            middle = self.latlayer1(middle) + _resized(small, middle)  # (n, 512, 32, 32)
            large = self.latlayer2(large) + _resized(middle, large)  # (n, 512, 64, 64)
            features[MIDDLE_ROW:] = [middle] * (FINE_ROW - MIDDLE_ROW)
            features[FINE_ROW:] = [large] * self.config.num_ws
        # The shortest codes end before the finest features.
        rows = [style(feature) for style, feature in zip(self.styles, features, strict=False)]
        if self.config.residual_rows:
            rows = [rows[0], *(rows[0] + row for row in rows[1:])]
        return torch.stack(rows, dim=1)  # num_ws of (n, 512) -> (n, num_ws, 512)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)
