"""Identity encoder: dlib's face recognition ResNet-29 in torch, on aligned face images.

The network reads 150x150 face chips. Inside the embedding network there are no landmarks, so the
chip is one fixed crop of the aligned face image.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from model_core.images import FACE_PX

CHIP_SIZE = 150
"""Side of the chip that the network reads, in pixels."""

PIXEL_MEAN = (122.782, 117.001, 104.298)
"""Mean of the red, green and blue channel in [0, 255], as dlib's input layer subtracts it."""

CROP_BOX = (39.7, 65.8, 217.4, 243.5)
"""Left, top, right, bottom of the chip in a 256 px aligned face, in pixels from its corner.

Fitted to match the position of dlib's landmark chips in FFHQ-aligned faces (median distance of the
descriptors .13 over 200 photos).
"""

_PIXEL_SCALE = 256.0


class Residual(nn.Module):
    """Two 3x3 convolutions and a skip connection; with `down` it halves the image.

    dlib pads neither convolutions of stride 2 nor the skip's average pooling, so the two may
    differ in size: the sum then has the larger size, with zeros where one of them is missing.
    """

    def __init__(self, in_channels: int, out_channels: int, down: bool) -> None:
        super().__init__()
        self.down = down
        stride, padding = (2, 0) if down else (1, 1)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1)

    def forward(self, x: Float[Tensor, "n c_in h_in w_in"]) -> Float[Tensor, "n c h w"]:
        """Compute relu(convolutions(x) + skip(x))."""
        h = self.conv2(F.relu(self.conv1(x)))
        if not self.down:
            return F.relu(h + x)
        skip = F.avg_pool2d(x, 2)
        # Sizes are tensors while torch traces.
        sizes = zip(h.shape[1:], skip.shape[1:], strict=True)
        c, rows, columns = (max(int(a), int(b)) for a, b in sizes)
        return F.relu(_grow(h, c, rows, columns) + _grow(skip, c, rows, columns))


def _grow(x: Tensor, channels: int, rows: int, columns: int) -> Tensor:
    """Append zeros up to the given size: channels last, to the right and below."""
    if x.shape[1:] == (channels, rows, columns):
        return x
    c, h, w = x.shape[1:]
    return F.pad(x, (0, columns - w, 0, rows - h, 0, channels - c))


def _level(in_channels: int, out_channels: int, blocks: int, down: bool) -> nn.Sequential:
    """Stack residual blocks; only the first may halve the image and change the width."""
    first = Residual(in_channels, out_channels, down)
    rest = (Residual(out_channels, out_channels, down=False) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


class DlibResNet29(nn.Module):
    """dlib's metric-learned ResNet-29: a 150x150 face chip in, a 128-D descriptor out.

    Levels are numbered from the output, as in dlib; 29 convolutions with dlib's per-channel
    affine layers folded in. Nothing in it depends on training or evaluation mode.

    Source: King, dlib, examples/dnn_face_recognition_ex.cpp (architecture); the weights of
    dlib_face_recognition_resnet_model_v1.dat are in the public domain (CC0).
    """

    pixel_mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, stride=2)  # 150 -> 72, pooled to 35
        self.level4 = _level(32, 32, blocks=3, down=False)
        self.level3 = _level(32, 64, blocks=4, down=True)  # -> 17
        self.level2 = _level(64, 128, blocks=3, down=True)  # -> 8
        self.level1 = _level(128, 256, blocks=3, down=True)  # -> 4 (the convolutions reach 3)
        self.level0 = _level(256, 256, blocks=1, down=True)  # -> 2 (the convolutions reach 1)
        self.fc = nn.Linear(256, 128, bias=False)
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN).view(3, 1, 1), persistent=False)

    def forward(self, chips: Float[Tensor, "n 3 150 150"]) -> Float[Tensor, "n 256"]:
        """Compute the pooled feature before the last layer.

        Args:
            chips: Face chips, RGB in [0, 255].
        """
        x = ((chips - self.pixel_mean) / _PIXEL_SCALE).to(self.stem.weight.dtype)
        x = F.max_pool2d(F.relu(self.stem(x)), 3, stride=2)
        for level in (self.level4, self.level3, self.level2, self.level1, self.level0):
            x = level(x)
        return x.mean(dim=(2, 3))

    def descriptor(self, chips: Float[Tensor, "n 3 150 150"]) -> Float[Tensor, "n 128"]:
        """Compute dlib's face descriptor: two chips of one person are closer than 0.6.

        Args:
            chips: Face chips, RGB in [0, 255].
        """
        descriptor: Tensor = self.fc(self(chips))
        return descriptor


class DlibIdentity(nn.Module):
    """Identity feature of an aligned face: a fixed crop, then dlib's ResNet-29.

    Differentiable in the image.
    Not covered: a reproducible gradient on CUDA, where the crop's backward pass adds atomically.

    Args:
        frozen: Whether the weights take no gradients; the image's gradients pass through anyway.
    """

    feature_dim = 256
    """Length of the identity feature f_id."""

    def __init__(self, frozen: bool = True) -> None:
        super().__init__()
        self.network = DlibResNet29()
        if frozen:
            self.requires_grad_(False).eval()

    def chips(self, img: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, "n 3 150 150"]:
        """Crop the face chip from aligned images, bilinearly and in float32.

        Args:
            img: Aligned faces, RGB in [-1, 1].

        Returns:
            Chips in [0, 255].
        """
        # Built here rather than kept as a buffer: casting the module must not round coordinates.
        left, top, right, bottom = CROP_BOX
        x = _sample_positions(left, right, img.device)
        y = _sample_positions(top, bottom, img.device)
        # (150, 150, 2), x before y as grid_sample wants it; the same for every item.
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        chips = F.grid_sample(img.float(), grid.expand(len(img), -1, -1, -1), align_corners=False)
        return chips * 127.5 + 127.5  # dlib's network subtracts means of bytes

    def forward(self, img: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, "n 256"]:
        """Compute the identity feature f_id of aligned faces in [-1, 1]."""
        feature: Tensor = self.network(self.chips(img))
        return feature

    def descriptor(self, img: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, "n 128"]:
        """Compute dlib's 128-D descriptor of aligned faces in [-1, 1]."""
        return self.network.descriptor(self.chips(img))


def _sample_positions(start: float, end: float, device: torch.device) -> Tensor:
    """Centres of the chip's pixels along one side, in grid_sample's units (-1 to 1)."""
    step = (end - start) / CHIP_SIZE
    centres = torch.arange(CHIP_SIZE, dtype=torch.float32, device=device) + 0.5
    return (start + centres * step) * (2 / FACE_PX) - 1
