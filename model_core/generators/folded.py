"""MobileStyleGAN with its wavelets folded into the weights, for backends that compile.

As published, the three details of a band are neighbours in memory, and the wavelet's sums run
across them, one by one. With equal details of all bands side by side they are sums of whole
vectors. The last wavelet disappears in the convolution before it, which then gives pixels.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_core.generators.mobilestylegan import MobileStyleGAN
from model_core.generators.ops import inverse_haar


class FoldedMobileStyleGAN(nn.Module):
    """The same images from mixed weights, which are not for saving.

    Args:
        generator: Float32; its weights are replaced.
    """

    def __init__(self, generator: MobileStyleGAN):
        super().__init__()
        self.generator = generator
        conv: nn.Module = generator.conv.conv
        for block in generator.blocks:
            apart = _details_apart(block.up_affine.out_features)  # type: ignore[union-attr, arg-type]
            _mix(conv, apart)
            _mix(block.up_affine, apart / 2)  # type: ignore[arg-type]
            conv = block.conv2.conv  # type: ignore[union-attr, assignment]
        _mix(generator.to_img, _wavelet(generator.to_img.out_channels))

    def synthesis(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Render W+ codes: RGB, nominally in [-1, 1] and not clamped."""
        net = self.generator
        x: Tensor = net.conv(net.const.expand(len(ws), -1, -1, -1), ws[:, 0], None)
        for i, block in enumerate(net.blocks):
            w1, w2 = ws[:, 2 * i + 1], ws[:, 2 * i + 2]
            x = _unite(x * block.up_affine(w1)[:, :, None, None])  # type: ignore[operator]
            x = block.conv2(block.conv1(x, w1, None), w2, None)  # type: ignore[operator]
        style = net.to_img_affine(ws[:, -3:].mean(dim=1))
        pixels = net.to_img(x * style[:, :, None, None])
        return _lay_out(*pixels.permute(0, 2, 3, 1).chunk(2, dim=3))


@torch.no_grad()
def _mix(layer: nn.Module, matrix: Float[Tensor, "outputs outputs"]) -> None:
    """Multiply what the layer gives by a matrix."""
    for part in layer.parameters():
        part.copy_(torch.tensordot(matrix, part, dims=1))


def _details_apart(channels: int) -> Float[Tensor, "channels channels"]:
    """Return the permutation that brings equal details of all bands together."""
    low, details = torch.arange(channels).split([channels // 4, channels - channels // 4])
    return torch.eye(channels)[torch.cat([low, details.reshape(-1, 3).T.flatten()])]


def _wavelet(channels: int) -> Float[Tensor, "channels channels"]:
    """Return the map from a wavelet's channels to its pixels: row, column and colour."""
    pixels = inverse_haar(torch.eye(channels)[:, :, None, None])
    return pixels.permute(2, 3, 1, 0).reshape(channels, channels)


def _unite(
    x: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch bands height2 width2"]:
    """Turn a quarter low-pass, LH, HL and HH channels each into one of twice the size."""
    ll, lh, hl, hh = x.permute(0, 2, 3, 1).chunk(4, dim=3)
    top, bottom = ll + lh, ll - lh
    total, difference = hl + hh, hl - hh
    upper = torch.cat([top + total, top - total], dim=3)
    lower = torch.cat([bottom + difference, bottom - difference], dim=3)
    return _lay_out(upper, lower)


def _lay_out(
    upper: Float[Tensor, "batch height width pair"],
    lower: Float[Tensor, "batch height width pair"],
) -> Float[Tensor, "batch bands height2 width2"]:
    """Lay out the four pixels of each place, of which two lie side by side in a row."""
    batch, height, width, pair = upper.shape
    rows = torch.cat([upper, lower], dim=2)
    return rows.reshape(batch, 2 * height, 2 * width, pair // 2).permute(0, 3, 1, 2)
