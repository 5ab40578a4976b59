"""Changes to input images that leave their code as it is: light, colour, poor quality."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def augment(
    img: Float[Tensor, "batch 3 size size"],
    jitter: float,
    degrade_share: float,
    random: torch.Generator,
) -> Float[Tensor, "batch 3 size size"]:
    """Change images as photographs differ from generated ones.

    Args:
        img: Images in [-1, 1].
        jitter: Largest relative change of brightness, contrast and each channel's gain.
        degrade_share: Share of images brought to half or a quarter of the resolution and back,
            with noise on top.
        random: Source of randomness.
    """
    batch = len(img)
    gain = 1 + jitter * (2 * torch.rand(batch, 1, 1, 1, generator=random) - 1)
    tint = 1 + jitter / 3 * (2 * torch.rand(batch, 3, 1, 1, generator=random) - 1)
    shift = jitter * (2 * torch.rand(batch, 1, 1, 1, generator=random) - 1)
    poor = torch.rand(batch, generator=random) < degrade_share
    factor = 2 if torch.rand((), generator=random) < 0.5 else 4
    if poor.any():
        small = F.avg_pool2d(img[poor], factor)
        grain = 0.03 * torch.randn(small.shape, generator=random)
        large = F.interpolate(small + grain, img.shape[-1], mode="bilinear")
        img = img.index_put((poor,), large)
    return (img * gain * tint + shift).clamp(-1, 1)
