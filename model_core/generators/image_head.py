"""A cheap image head for MobileStyleGAN: small images from the features of its lower blocks.

The published weights only have the 1024 px output. Losses at a small size need not run the largest
blocks: the inverse Haar transform that begins each of them turns its low-pass channels,
halved, into the means of two by two pixels. So a block that reads these channels alone, at the size
of its input, approximates its own output area-averaged, with the weights that it has.
Fitting makes up for what it leaves out, the detail that the activations see.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.generators.folded import FoldedMobileStyleGAN
from model_core.generators.mobilestylegan import Block, MobileStyleGAN, StyledConv


@dataclass(frozen=True, slots=True)
class ImageHeadConfig:
    """Sizes of the head; saved with its weights.

    Attributes:
        blocks: Number of generator blocks below the head.
        in_channels: Width of the last of them.
        img_px: Side of its features and of the image.
        widths: Widths of the blocks that the head replaces.
        w_dim: Width of a row of W+.
    """

    blocks: int
    in_channels: int
    img_px: int
    widths: tuple[int, ...]
    w_dim: int


class LowBandBlock(nn.Module):
    """A block of the generator that keeps the size instead of doubling it."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, size_px: int):
        super().__init__()
        self.bands = in_channels // 4
        self.affine = nn.Linear(w_dim, self.bands)
        self.conv1 = StyledConv(self.bands, out_channels, w_dim, size_px, dense=False)
        self.conv2 = StyledConv(out_channels, out_channels, w_dim, size_px, dense=False)

    def forward(
        self,
        x: Float[Tensor, "batch channels size size"],
        w1: Float[Tensor, "batch w_dim"],
        w2: Float[Tensor, "batch w_dim"],
    ) -> Float[Tensor, "batch out size size"]:
        """Apply the block: w1 drives the low band and the first convolution, w2 the second."""
        # Low-pass channels only. The transform halves them: a mean of 2x2 pixels is LL / 2.
        x = x[:, : self.bands] * self.affine(w1)[:, :, None, None] / 2
        out: Tensor = self.conv2(self.conv1(x, w1, None), w2, None)
        return out

    @torch.no_grad()
    def copy_from(self, block: Block, doublings: int) -> None:
        """Initialise from a block whose output is 2 ** doublings as large."""
        for name in ("weight", "bias"):
            getattr(self.affine, name).copy_(getattr(block.up_affine, name)[: self.bands])
        for mine, its in ((self.conv1, block.conv1), (self.conv2, block.conv2)):
            state = its.state_dict()
            state["depthwise.weight"] = shrink_kernels(state["depthwise.weight"], 2**doublings)
            state["noise"] = F.avg_pool2d(state["noise"], 2**doublings)
            mine.load_state_dict(state)


class ImageHead(nn.Module):
    """Features of a lower block and the late rows of W+ -> RGB at the features' size."""

    def __init__(self, config: ImageHeadConfig):
        super().__init__()
        self.config = config
        inputs = (config.in_channels, *config.widths[:-1])
        self.blocks = nn.ModuleList(
            LowBandBlock(inputs[i], width, config.w_dim, config.img_px)
            for i, width in enumerate(config.widths)
        )
        self.to_img_affine = nn.Linear(config.w_dim, config.widths[-1])
        self.to_img = nn.Conv2d(config.widths[-1], 3, 1)

    @classmethod
    def above(cls, generator: MobileStyleGAN, blocks: int) -> "ImageHead":
        """Make a head for the first blocks of a generator from the others, not yet fitted."""
        config = generator.config
        size_px = config.const_size_px * 2**blocks
        widths = config.widths
        head = cls(
            ImageHeadConfig(blocks, widths[blocks - 1], size_px, widths[blocks:], config.w_dim)
        )
        for i, (mine, its) in enumerate(zip(head.blocks, generator.blocks[blocks:], strict=True)):
            mine.copy_from(its, i + 1)  # type: ignore[operator]
        head.to_img_affine.load_state_dict(generator.to_img_affine.state_dict())
        # The same for the last wavelet: the first three of its twelve channels are its low-pass.
        low_band = {name: value[:3] / 2 for name, value in generator.to_img.state_dict().items()}
        head.to_img.load_state_dict(low_band)
        return head

    def forward(
        self,
        features: Float[Tensor, "batch channels size size"],
        ws: Float[Tensor, "batch num_ws w_dim"],
    ) -> Float[Tensor, "batch 3 size size"]:
        """Convert features to an image, nominally in [-1, 1] and not clamped."""
        x = features
        first = 2 * self.config.blocks + 1  # row 0 is the constant's, two rows drive each block
        for i, block in enumerate(self.blocks):
            x = block(x, ws[:, first + 2 * i], ws[:, first + 2 * i + 1])
        style = self.to_img_affine(ws[:, -3:].mean(dim=1))
        img: Tensor = self.to_img(x * style[:, :, None, None])
        return img


class HeadedGenerator(nn.Module):
    """The generator cut below its last blocks, with an image head: W+ codes -> small images.

    Like the generator, it can be cut once more: `tail(features(ws, n), ws, n)` is `forward(ws)`.
    """

    def __init__(self, generator: FoldedMobileStyleGAN, head: ImageHead):
        super().__init__()
        self.generator, self.head = generator, head

    def forward(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, "batch 3 size size"]:
        """Render codes; differentiable in all rows."""
        below = self.head.config.blocks
        return self.tail(self.features(ws, below), ws, below)

    def features(
        self, ws: Float[Tensor, "batch num_ws w_dim"], blocks: int
    ) -> Float[Tensor, "batch channels px px"]:
        """Run the generator's first blocks."""
        return self.generator.features(ws, blocks)

    def tail(
        self,
        features: Float[Tensor, "batch channels px px"],
        ws: Float[Tensor, "batch num_ws w_dim"],
        blocks: int,
    ) -> Float[Tensor, "batch 3 size size"]:
        """Render the features of the first blocks, no more than lie below the head."""
        x = self.generator.advance(features, ws, blocks, self.head.config.blocks)
        return self.head(x, ws)  # type: ignore[no-any-return]


def shrink_kernels(
    kernels: Float[Tensor, "channels 1 3 3"], factor: int
) -> Float[Tensor, "channels 1 3 3"]:
    """Adapt convolutions to a grid that is coarser by a factor.

    If pixels are constant over each cell of the grid, the new kernels give the means over cells of
    what the old ones give.
    """
    # (coarse tap, fine tap): the share of a cell's pixels for which a fine tap falls into the
    # previous, the same or the next coarse cell. In a cell of `factor` pixels, a tap of one pixel
    # leaves it only at its edge.
    cells = torch.zeros(3, 3)
    for pixel in range(factor):
        for tap in range(3):
            cells[(pixel + tap - 1) // factor + 1, tap] += 1 / factor
    cells = cells.to(kernels)
    # Rows and columns alike: (channels, 1, fine 3, fine 3) -> (channels, 1, coarse 3, coarse 3).
    return torch.einsum("yi,xj,coij->coyx", cells, cells, kernels)
