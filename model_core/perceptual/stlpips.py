"""Perceptual distances: how far apart two images look, measured in the features of a network.

Shift-tolerant LPIPS (ST-LPIPS) is the one that comes with the default weights. Every figure is
reported with its distance's name: numbers of different distances are never compared.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from model_core.errors import InvalidInputError

MIN_SIZE_PX = 32
"""Shortest side of an image that has all feature maps."""

# Mean and standard deviation of ImageNet's channels on the scale [-1, 1] (LPIPS v0.1).
_INPUT_SHIFT = (-0.030, -0.088, -0.188)
_INPUT_SCALE = (0.458, 0.448, 0.450)
# Pooling of contiguous feature maps is up to thirty times slower on a CPU.
_FORMAT = torch.channels_last
# Keeps value and gradient finite if all channels of a feature are zero.
_NORM_EPS = 1e-20


class Perceptual(nn.Module, ABC):
    """A distance between images: that of their feature maps, squared and averaged over positions.

    To compare many images with one, compute its `features` once and call `distance`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The name reported with this distance's figures."""

    @abstractmethod
    def features(self, img: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Compute feature maps (n, c, h, w), from fine to coarse resolution, scaled for `distance`.

        Args:
            img: RGB in [-1, 1].
        """

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Float[Tensor, "n"]:
        """Compare feature maps of `features`; 0 is equal, larger is farther.

        A batch of one in `a` or `b` is compared with every image of the other.
        """
        layers = [(f_a - f_b).square().sum(1).mean((1, 2)) for f_a, f_b in zip(a, b, strict=True)]
        return torch.stack(layers).sum(0)

    def forward(
        self, a: Float[Tensor, "n 3 h w"], b: Float[Tensor, "n 3 h w"]
    ) -> Float[Tensor, "n"]:
        """Compare images pair by pair; 0 is equal, larger is farther.

        Args:
            a: RGB in [-1, 1].
            b: RGB in [-1, 1], of the same size.

        Raises:
            InvalidInputError: If the shapes differ or the images are too small.
        """
        if a.shape != b.shape:
            raise InvalidInputError(f"b must be shaped like a, {(*a.shape,)}, got {(*b.shape,)}")
        return self.distance(self.features(a), self.features(b))


class Blur(nn.Module):
    """Halve feature maps after a 3x3 binomial filter, reflecting two pixels around them."""

    def forward(self, x: Float[Tensor, "n c h_in w_in"]) -> Float[Tensor, "n c h w"]:
        """Return (h_in + 1) // 2 + 1 rows, and columns likewise."""
        tap = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
        kernel = (tap[:, None] * tap).expand(x.shape[1], 1, 3, 3)  # (channels, 1, 3, 3)
        # The trained network uses this padding; the filter alone would need only 1.
        x = F.pad(x, (2, 2, 2, 2), mode="reflect")
        return F.conv2d(x, kernel, stride=2, groups=x.shape[1])


class BlurredConv2d(nn.Conv2d):
    """A convolution (odd kernel) of an image, then Blur, computed as one convolution of stride 2.

    `plain`, kept for odd sizes and as the reference, computes four times as many positions, and its
    gradient with respect to the image is by far the slowest part of an AlexNet on a CPU.
    """

    def forward(self, x: Float[Tensor, "n 3 h_in w_in"]) -> Float[Tensor, "n c h w"]:
        """Compute blur(convolution(x))."""
        if x.shape[2] % 2 or x.shape[3] % 2:
            return self.plain(x)
        margin = int(self.padding[0])
        x = F.pad(x, (margin,) * 4)  # the convolution's zeros; the blur's reflection follows below
        wide, narrow = (0.25, 0.5, 0.25), (0.5, 0.5)
        side = self.kernel_size[0] + 1  # side of the patch under two neighbouring kernel positions
        # With reflection the first row repeats the second, and the last covers two rows, not three.
        inner = self._strided(x, wide, wide)
        right = self._strided(x[:, :, :, -side:], wide, narrow)
        below = self._strided(x[:, :, -side:], narrow, wide)
        corner = self._strided(x[:, :, -side:, -side:], narrow, narrow)
        # Repeat a column before `inner` and append a narrower one; then the same for rows.
        upper = torch.cat([inner[:, :, :, :1], inner, right], 3)
        lower = torch.cat([below[:, :, :, :1], below, corner], 3)
        return torch.cat([upper[:, :, :1], upper, lower], 2)

    def plain(self, x: Float[Tensor, "n 3 h_in w_in"]) -> Float[Tensor, "n c h w"]:
        """Compute the same in two steps, for any size."""
        blurred: Tensor = Blur()(super().forward(x))
        return blurred

    def _strided(self, x: Tensor, rows: Sequence[float], columns: Sequence[float]) -> Tensor:
        """Convolve at every second position with the kernel blurred by two small filters."""
        taps = self.weight.new_tensor(rows)[:, None] * self.weight.new_tensor(columns)
        # Merge both steps into one kernel; symmetric taps make correlation equal convolution.
        # (out, 3, k, k) -> (out * 3, 1, k, k): planes grow by taps - 1.
        margins = (len(rows) - 1, len(columns) - 1)
        kernel = F.conv2d(self.weight.flatten(0, 1)[:, None], taps[None, None], padding=margins)
        height, width = kernel.shape[2:]
        kernel = F.pad(kernel, (0, width % 2, 0, height % 2))  # make the sides even for unshuffling
        kernel = F.pixel_unshuffle(kernel, 2)  # (out * 3, 4, sides halved)
        kernel = kernel.reshape(self.out_channels, 12, *kernel.shape[2:])  # colour, row, column
        # Stride 2 on 3 channels equals stride 1 on the 12 values of 2x2 pixels, and is faster.
        # (n, 3, h, w) -> (n, 12, h / 2, w / 2), channels in the kernel's order.
        pixels = F.pixel_unshuffle(x, 2).contiguous(memory_format=_FORMAT)
        return F.conv2d(pixels, kernel, self.bias)


def _alexnet() -> list[nn.Sequential]:
    """Build shift-tolerant AlexNet up to each of its five feature maps."""
    return [
        nn.Sequential(BlurredConv2d(3, 64, 11, padding=2), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(3, 1), Blur(), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(3, 1), Blur(), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    ]


def _vgg16() -> list[nn.Sequential]:
    """Build shift-tolerant VGG-16 up to each of its five feature maps."""
    stages: list[nn.Sequential] = []
    in_channels = 3
    for channels, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers: list[nn.Module] = [nn.MaxPool2d(2, 1), Blur()] if stages else []
        for _ in range(depth):
            layers += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU()]
            in_channels = channels
        stages.append(nn.Sequential(*layers))
    return stages


_TRUNKS = {"alex": (_alexnet, (64, 192, 384, 256, 256)), "vgg": (_vgg16, (64, 128, 256, 512, 512))}


class STLPIPS(Perceptual):
    """Shift-tolerant LPIPS: calibrated on human judgement, indifferent to shifts of a few pixels.

    Differentiable in the images; frozen, in float32 whatever the trunk computes in.

    Args:
        trunk: Network that provides the features, "alex" or "vgg".

    Raises:
        InvalidInputError: If there is no such trunk.

    Source: Ghildyal and Liu, Shift-tolerant Perceptual Similarity Metric, ECCV 2022; the weights of
    the package stlpips-pytorch 0.0.2 (BSD-2-Clause). LPIPS: Zhang et al. 2018, equation 1.
    """

    def __init__(self, trunk: str = "alex") -> None:
        super().__init__()
        if trunk not in _TRUNKS:
            raise InvalidInputError(f"trunk must be one of {sorted(_TRUNKS)}, got {trunk!r}")
        build, widths = _TRUNKS[trunk]
        self.trunk = trunk
        self.stages = nn.ModuleList(build())
        # Square roots of the channels' calibrated weights.
        self.scales = nn.ParameterList([torch.ones(width) for width in widths])
        self.requires_grad_(False).eval()

    @property
    def name(self) -> str:
        """Name this distance with its trunk: "st-lpips-alex" or "st-lpips-vgg"."""
        return f"st-lpips-{self.trunk}"

    def features(self, img: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Compute the five feature maps, normalised over channels and scaled by their weights.

        Args:
            img: RGB in [-1, 1], sides of at least MIN_SIZE_PX.

        Raises:
            InvalidInputError: If the images are too small.
        """
        if min(img.shape[2:]) < MIN_SIZE_PX:
            raise InvalidInputError(
                f"sides of img must be at least {MIN_SIZE_PX} px, got {tuple(img.shape[2:])}"
            )
        shift = img.new_tensor(_INPUT_SHIFT).view(3, 1, 1)
        scale = img.new_tensor(_INPUT_SCALE).view(3, 1, 1)
        x = ((img - shift) / scale).to(next(self.stages.parameters()).dtype)
        x = x.contiguous(memory_format=_FORMAT)
        features = []
        for stage, weight in zip(self.stages, self.scales, strict=True):
            x = stage(x)
            features.append(_normalize(x.float()) * weight.float().view(-1, 1, 1))
        return features


def _normalize(x: Tensor) -> Tensor:
    """Scale the channels at each position to length 1."""
    return x * torch.rsqrt(x.square().sum(1, keepdim=True) + _NORM_EPS)
