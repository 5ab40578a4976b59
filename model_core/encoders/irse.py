"""The improved residual body of ArcFace, with or without squeeze and excitation.

Source: Deng et al. 2019, "ArcFace"; Hu et al. 2018, "Squeeze-and-Excitation Networks". Modules keep
the names of the PyTorch port that pSp, e4e and ReStyle build on (InsightFace_Pytorch, MIT), so that
its weights load as they are.
"""

from itertools import accumulate

from jaxtyping import Float
from torch import Tensor, nn

BLOCKS = {50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 152: (3, 8, 36, 3)}
"""Layers of the body to blocks of each stage."""

WIDTHS = (64, 128, 256, 512)


class Excitation(nn.Module):
    """Scale channels by their global averages."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Scale the channels by factors from 0 to 1."""
        scale: Tensor = self.fc2(self.fc1(x.mean(dim=(2, 3), keepdim=True)).relu()).sigmoid()
        return x * scale


class Bottleneck(nn.Module):
    """Normalise, convolve, activate, convolve, normalise; the second convolution may halve."""

    def __init__(self, inputs: int, outputs: int, stride: int, excited: bool):
        super().__init__()
        if inputs == outputs:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            *([Excitation(outputs)] if excited else []),
        )

    def forward(self, x: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs h2 w2"]:
        """Add the convolutions to the shortcut."""
        return self.res_layer(x) + self.shortcut_layer(x)  # type: ignore[no-any-return]


def run_stages(
    body: nn.Sequential, ends: set[int], x: Float[Tensor, "n c h w"]
) -> list[Float[Tensor, "n _ _ _"]]:
    """Run a trunk's blocks and return the outputs of those that end a stage.

    Args:
        body: The blocks.
        ends: Numbers of the blocks, from 1, that end a stage.
        x: Input of the first block.
    """
    found = []
    for i, block in enumerate(body, start=1):
        x = block(x)
        if i in ends:
            found.append(x)
    return found


class IRBody(nn.Module):
    """Stem and four stages, each of which halves the image.

    Args:
        in_channels: Channels of the image.
        layers: 50, 100 or 152.
        excited: Whether blocks have squeeze and excitation.
    """

    def __init__(self, in_channels: int = 3, layers: int = 50, excited: bool = True):
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(in_channels, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        )
        self.body = nn.Sequential()
        inputs = 64
        for width, blocks in zip(WIDTHS, BLOCKS[layers], strict=True):
            for i in range(blocks):
                self.body.append(Bottleneck(inputs, width, 1 if i else 2, excited))
                inputs = width
        self._ends = set(accumulate(BLOCKS[layers]))

    def stages(self, x: Float[Tensor, "n c h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """Return the output of each of the four stages, the largest first."""
        return run_stages(self.body, self._ends, self.input_layer(x))
