"""StyleGAN2's modulated convolution and its upsampling, with one weight for the whole batch.

The originals make separate weights for every item of a batch; here the style scales the input and
demodulation the output, which gives the same sum. `reference.py` has the plain form.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_core.generators.ops import binomial_kernel, filter_channels

UP_TAPS = (1, 3, 3, 1)
DEMODULATION_EPS = 1e-8


def modulated_conv(
    x: Float[Tensor, "batch inputs height width"],
    weight: Float[Tensor, "outputs inputs 3 3"],
    style: Float[Tensor, "batch inputs"],
    up: bool,
) -> Float[Tensor, "batch outputs height2 width2"]:
    """Convolve with weights that the style scales, normalised to unit expected variance.

    Args:
        x: Features.
        weight: Effective weights, including the equalised scale.
        style: Scale of each input channel.
        up: Whether to double the size, with a transposed convolution and a low-pass filter.

    Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", 2.2.
    """
    if x.dtype == torch.float16:  # as NVIDIA does, lest the sum overflow; demodulation undoes it
        style = style / style.abs().amax(dim=1, keepdim=True).clamp_min(1e-4)
    # Sum of (style * weight)^2 over inputs and taps, in float32: (batch, outputs).
    power = style.float().square() @ weight.float().square().sum(dim=(2, 3)).T
    demodulation = (power + DEMODULATION_EPS).rsqrt().to(x.dtype)
    x = x * style[:, :, None, None]
    if up:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # 2 * size + 1
        # Three of four pixels before it were zeros: 4 makes up for them. Back to 2 * size.
        x = filter_channels(x, 4 * binomial_kernel(UP_TAPS, x), padding=1)
    else:
        x = F.conv2d(x, weight, padding=1)
    return x * demodulation[:, :, None, None]


def upsample(
    img: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch channels height2 width2"]:
    """Double an image with StyleGAN2's filter, assuming zeros beyond its edge.

    Inside the image, that filter is bilinear interpolation.
    """
    doubled = F.interpolate(F.pad(img, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")
    return doubled[..., 2:-2, 2:-2]  # the pixel of padding has become two
