"""ArcFace recognisers supplied by users, as identity encoders of aligned faces."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from model_core.encoders.irse import WIDTHS, IRBody

CHIP_PX = 112
CROP = (slice(35, 223), slice(32, 220))
"""Rows and columns of a 256 px FFHQ crop that form the chip, as pSp crops them."""

FEATURE_DIM = 512
_CELLS = 7 * 7


class IRSEFace(IRBody):
    """IR-SE and IR recognisers in the port that pSp uses: 112 px chips to 512 numbers."""

    def __init__(self, layers: int, excited: bool, affine: bool):
        super().__init__(3, layers, excited)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(512 * _CELLS, FEATURE_DIM),
            nn.BatchNorm1d(FEATURE_DIM, affine=affine),
        )

    def forward(self, chips: Float[Tensor, "n 3 112 112"]) -> Float[Tensor, "n 512"]:
        """Compute the embedding of chips in [-1, 1], before it is scaled to unit length."""
        return self.output_layer(self.stages(chips)[-1])  # type: ignore[no-any-return]


class IResNetBlock(nn.Module):
    """A residual block of insightface."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs h2 w2"]:
        """Add the convolutions to the shortcut."""
        h = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(h)) + self.downsample(x)  # type: ignore[no-any-return]


class IResNetFace(nn.Module):
    """Insightface's recognisers: 112 px chips to 512 numbers.

    Modules keep insightface's names, so that its weights load as they are.
    Source: recognition/arcface_torch/backbones/iresnet.py of insightface (MIT), for the names.
    """

    def __init__(self, blocks: tuple[int, ...]):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        inputs = (64, *WIDTHS[:-1])
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(
                IResNetBlock(narrow, wide, 2), *(IResNetBlock(wide, wide, 1) for _ in range(n - 1))
            )
            for narrow, wide, n in zip(inputs, WIDTHS, blocks, strict=True)
        )
        self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * _CELLS, FEATURE_DIM)
        self.features = nn.BatchNorm1d(FEATURE_DIM)

    def forward(self, chips: Float[Tensor, "n 3 112 112"]) -> Float[Tensor, "n 512"]:
        """Compute the embedding of chips in [-1, 1], before it is scaled to unit length."""
        x = self.prelu(self.bn1(self.conv1(chips)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.features(self.fc(self.bn2(x).flatten(1)))  # type: ignore[no-any-return]


class ArcFaceIdentity(nn.Module):
    """Identity feature of an aligned face: a fixed crop, then a recogniser.

    Differentiable in the image; frozen.

    Args:
        network: The recogniser.
    """

    feature_dim = FEATURE_DIM
    """Length of the identity feature f_id."""

    def __init__(self, network: IRSEFace | IResNetFace):
        super().__init__()
        self.network = network
        self.requires_grad_(False).eval()

    def train(self, _mode: bool = True) -> "ArcFaceIdentity":
        """Stay in evaluation mode: the statistics of its normalisations are part of the weights."""
        return super().train(False)

    def chips(self, img: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, "n 3 112 112"]:
        """Crop the face chip from aligned images in [-1, 1]; its values keep that range."""
        return F.adaptive_avg_pool2d(img[:, :, CROP[0], CROP[1]], CHIP_PX)

    def forward(self, img: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, "n 512"]:
        """Compute the identity feature f_id of aligned faces in [-1, 1]."""
        return self.network(self.chips(img))  # type: ignore[no-any-return]

    def descriptor(self, img: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, "n 512"]:
        """Compute the embedding, of unit length."""
        return F.normalize(self(img))
