"""MobileStyleGAN with its wavelets folded into the weights: the form that runs fastest.

As published, the three details of a band are adjacent in memory, and the wavelet sums
across them, one by one. With the same detail of all bands adjacent, these become sums of whole
vectors. The last wavelet merges into the convolution before it, which then outputs pixels.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.errors import InvalidInputError
from model_core.generators.mobilestylegan import MobileStyleGAN
from model_core.generators.ops import inverse_haar

# Low-pass, LH, HL and HH in the upper left, upper right, lower left and lower right pixel.
_SIGNS = (
    (1.0, 1.0, 1.0, 1.0),
    (1.0, 1.0, -1.0, -1.0),
    (1.0, -1.0, 1.0, -1.0),
    (1.0, -1.0, -1.0, 1.0),
)


class FoldedMobileStyleGAN(nn.Module):
    """The same images from rearranged weights, which are not for saving.

    Args:
        generator: Float32; its weights are replaced.
    """

    signs: Tensor

    def __init__(self, generator: MobileStyleGAN):
        super().__init__()
        self.generator = generator
        conv: nn.Module = generator.conv.conv
        for block in generator.blocks:
            apart = _details_apart(block.up_affine.out_features)  # type: ignore[union-attr, arg-type]
            _mix(conv, apart)
            # The inverse Haar transform halves its sums: the styles before it do so instead.
            _mix(block.up_affine, apart / 2)  # type: ignore[arg-type]
            conv = block.conv2.conv  # type: ignore[union-attr, assignment]
        # There is nothing between the last convolution and the last wavelet: both are one matrix.
        _mix(generator.to_img, _wavelet(generator.to_img.out_channels))
        # (bands, pixels, 1): the signs of a band in the four pixels, over all channels.
        self.register_buffer("signs", torch.tensor(_SIGNS)[:, :, None], persistent=False)

    def features(
        self, ws: Float[Tensor, "batch num_ws w_dim"], blocks: int
    ) -> Float[Tensor, "batch channels size size"]:
        """Run the first blocks only: the generator's features, with the details reordered."""
        net = self.generator
        x: Tensor = net.conv(net.const.expand(len(ws), -1, -1, -1), ws[:, 0], None)
        return self.advance(x, ws, 0, blocks)

    def tail(
        self,
        features: Float[Tensor, "batch channels size size"],
        ws: Float[Tensor, "batch num_ws w_dim"],
        blocks: int,
    ) -> Float[Tensor, "batch 3 height width"]:
        """Render the features of the first blocks with the others; RGB as in `synthesis`."""
        x = self.advance(features, ws, blocks, len(self.generator.blocks))
        pixels = self.generator.to_img(x * self._style(ws))  # (batch, 12, height, width)
        # Channels last: row, column and colour of 2x2 pixels; a half is the upper or lower row.
        upper, lower = _rows(pixels).chunk(2, dim=2)
        return _lay_out(upper, lower, len(ws))

    def synthesis(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Render W+ codes: RGB, nominally in [-1, 1] and not clamped."""
        blocks = len(self.generator.blocks)
        return self.tail(self.features(ws, blocks), ws, blocks)

    def small_images(
        self, ws: Float[Tensor, "batch num_ws w_dim"], size_px: int
    ) -> Float[Tensor, "batch 3 size size"]:
        """Render W+ codes at half the resolution or less, area-averaged.

        Args:
            ws: Codes to render.
            size_px: A divisor of half of the resolution.
        """
        blocks = len(self.generator.blocks)
        return self.small_tail(self.features(ws, blocks), ws, blocks, size_px)

    def small_tail(
        self,
        features: Float[Tensor, "batch channels px px"],
        ws: Float[Tensor, "batch num_ws w_dim"],
        blocks: int,
        size_px: int,
    ) -> Float[Tensor, "batch 3 size size"]:
        """Render the features of the first blocks as `small_images` does.

        Everything after the last features is linear: they are reduced to the size before they
        become the means of four pixels.

        Args:
            features: Features of the first blocks.
            ws: Codes whose other rows render them.
            blocks: Number of these blocks.
            size_px: A divisor of half of the resolution.

        Raises:
            InvalidInputError: If it is none.
        """
        to_img = self.generator.to_img
        x = self.advance(features, ws, blocks, len(self.generator.blocks))
        cell_px, rest = divmod(x.shape[-1], size_px)
        if rest:
            raise InvalidInputError(f"size_px must be a divisor of {x.shape[-1]}, got {size_px}")
        # Means of cells: (batch, channels, size, size).
        x = F.avg_pool2d(x, cell_px) * self._style(ws)
        # (12, ...) -> (pixels, colours, ...): the mean of the four pixels of a place.
        weight, bias = (part.unflatten(0, (4, -1)).mean(0) for part in to_img.parameters())
        return F.conv2d(x, weight, bias)

    def advance(
        self,
        x: Float[Tensor, "batch channels size size"],
        ws: Float[Tensor, "batch num_ws w_dim"],
        first: int,
        end: int,
    ) -> Float[Tensor, "batch out size2 size2"]:
        """Run the blocks from `first` to before `end`."""
        unite = self._unite_differentiably if torch.is_grad_enabled() else _unite
        for i, block in enumerate(self.generator.blocks[first:end], start=first):
            w1, w2 = ws[:, 2 * i + 1], ws[:, 2 * i + 2]
            x = unite(x * block.up_affine(w1)[:, :, None, None])  # type: ignore[operator]
            x = block.conv2(block.conv1(x, w1, None), w2, None)  # type: ignore[operator]
        return x

    def _style(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, "batch channels 1 1"]:
        """Compute the style of the image layer."""
        style: Tensor = self.generator.to_img_affine(ws[:, -3:].mean(dim=1))
        return style[:, :, None, None]

    def _unite_differentiably(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch bands height2 width2"]:
        """Do the same as the faster _unite, with sums whose gradients are sums again.

        The gradients of slices, which _unite takes, are padded with zeros and added.
        """
        batch, channels, height, width = x.shape
        # Four of (batch, height, width, bands): low-pass, LH, HL and HH.
        bands = x.permute(0, 2, 3, 1).unflatten(3, (4, -1)).unbind(dim=3)
        # Each of (batch, height, width, pixels, bands).
        low, *details = (
            band.unsqueeze(3) * sign for band, sign in zip(bands, self.signs, strict=True)
        )
        pixels: Tensor = sum(details, start=low)
        # (batch, height, width, row, column, bands) -> (batch, height, row, width, column, bands)
        pixels = pixels.unflatten(3, (2, 2)).permute(0, 1, 3, 2, 4, 5)
        return pixels.reshape(batch, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


def folded_order(channels: int) -> Int[Tensor, " channels"]:
    """Return the index in the published generator of each channel of the folded features.

    It holds between blocks, where the next block begins with a wavelet.
    """
    low, details = torch.arange(channels).split([channels // 4, channels - channels // 4])
    return torch.cat([low, details.reshape(-1, 3).T.flatten()])  # (bands, 3) -> (3, bands)


@torch.no_grad()
def _mix(layer: nn.Module, matrix: Float[Tensor, "outputs outputs"]) -> None:
    """Multiply a layer's output by a matrix."""
    for part in layer.parameters():  # weight (outputs, inputs, ...) and bias (outputs,)
        part.copy_(torch.tensordot(matrix, part, dims=1))


def _details_apart(channels: int) -> Float[Tensor, "channels channels"]:
    """Return the permutation that makes the same details of all bands adjacent."""
    return torch.eye(channels)[folded_order(channels)]


def _wavelet(channels: int) -> Float[Tensor, "channels channels"]:
    """Return the map from a wavelet's channels to its pixels: row, column and colour."""
    # Channel by channel, the 2x2 pixels that a one in it gives: (channels, colours, 2, 2).
    pixels = inverse_haar(torch.eye(channels)[:, :, None, None])
    return pixels.permute(2, 3, 1, 0).reshape(channels, channels)


def _unite(
    x: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch bands height2 width2"]:
    """Merge low-pass, LH, HL and HH, a quarter of the channels each, at twice the size."""
    ll, lh, hl, hh = _rows(x).chunk(4, dim=2)  # (rows, width, bands) each
    # Pairs of pixels, top and bottom row: left and right are their sum and difference. The half
    # at the end of the transform is in the styles.
    top, bottom = ll + lh, ll - lh
    total, difference = hl + hh, hl - hh
    # (rows, width, 2 * bands): the left pixel's bands, then the right one's.
    upper = torch.cat([top + total, top - total], dim=2)
    lower = torch.cat([bottom + difference, bottom - difference], dim=2)
    return _lay_out(upper, lower, len(x))


def _rows(
    x: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "rows width channels"]:
    """Stack the rows of all images, channels last.

    TorchInductor treats the second of four dimensions as channels and may choose a layout for which
    it stores one number at a time; three dimensions avoid that.
    """
    return x.permute(0, 2, 3, 1).flatten(0, 1)


def _lay_out(
    upper: Float[Tensor, "rows width pair"], lower: Float[Tensor, "rows width pair"], batch: int
) -> Float[Tensor, "batch bands height2 width2"]:
    """Lay out the four pixels of each place, given as pairs of neighbours in a row."""
    height, width, pair = upper.shape  # the height is that of all images
    # Upper and lower row of a row of places in sequence: (rows, 2 * width, pair).
    # In memory that is already (batch, 2 * height, 2 * width, bands), as a pair is two pixels.
    rows = torch.cat([upper, lower], dim=1)
    img = rows.reshape(batch, 2 * height // batch, 2 * width, pair // 2)
    return img.permute(0, 3, 1, 2)
