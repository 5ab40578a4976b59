"""The baselines of Guan et al. 2020, all built on the iterator.

Each is a loss, a start and a number of steps; Image2StyleGAN++ adds a second stage on noise maps.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.generators.contract import Generator
from model_core.inversion.iterator import (
    IteratorConfig,
    IteratorState,
    LatentIterator,
    Render,
    StepReport,
)
from model_core.inversion.two_stage import HeadRender, TwoStageIterator
from model_core.networks.distances import NoDistance
from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import SingleCode, SingleImage

OnStep = Callable[[StepReport], bool]

IMAGE2STYLEGAN = IteratorConfig(alpha=1.0, lr=0.01, betas=(0.9, 0.999), eps=1e-8)
"""Abdal et al. 2019: Adam with these values; MSE and perceptual loss, both with weight 1."""

NOISE = IteratorConfig(alpha=0.0, lr=0.05)
"""The noise stage of Image2StyleGAN++: MSE only, according to Guan et al.; the rate is ours."""

NOISE_SHARE = 0.6
"""Noise steps per step on the code: 3000 to 5000; our choice."""


def mean_code(generator: Generator) -> SingleCode:
    """Return the mean code, Image2StyleGAN's start for every face."""
    return generator.w_mean.repeat(1, generator.num_ws, 1)


def random_code(generator: Generator, seed: int) -> SingleCode:
    """Return a code with N(0, 1) elements, the random start of figure 7."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(1, generator.num_ws, generator.w_dim, generator=random)


@dataclass(frozen=True, slots=True)
class CodeSearch:
    """Optimise one face's code.

    Image2StyleGAN (Abdal et al. 2019): from the mean code, MSE and vgg-features, 5000 steps.
    StyleGAN-Encoder (Baylies 2019): the same, from the code of a single ResNet-50 (an embedding
    network that is not disentangled). According to Guan et al. they differ only in the start.

    Attributes:
        render: Renders codes.
        distance: The perceptual term of the loss.
        config: Adam's settings and alpha.
        steps: Number of updates.
        head: Renders the first steps, if given.
    """

    render: Render
    distance: Perceptual
    config: IteratorConfig
    steps: int
    head: HeadRender | None = None

    def __call__(self, face: SingleImage, start: SingleCode, on_step: OnStep) -> SingleCode:
        """Return the code with the lowest loss."""
        iterator = TwoStageIterator(self.render, self.distance, self.config, self.head)
        state = IteratorState.start(start)
        iterator.run(state, face, self.steps, on_step)
        return state.best_ws


class NoisyImages(nn.Module):
    """Render codes and noise maps to small images, downscaled by area; differentiable in both.

    The maps form one row vector, in units of each map's standard deviation, so that one learning
    rate suits generators that fold the noise strength in and those that scale unit noise.

    Args:
        generator: Generator to copy.
        size_px: Side of the images.
        dtype: Precision of the generator.
    """

    spread: Tensor

    def __init__(self, generator: Generator, size_px: int, dtype: torch.dtype):
        super().__init__()
        self.size_px, self._dtype = size_px, dtype
        maps = noise_maps(generator)
        self._shapes = [noise.shape for noise in maps]
        self._lengths = [noise.numel() for noise in maps]
        spreads = [noise.std().expand(noise.numel()) for noise in maps]
        self.register_buffer("spread", torch.cat(spreads))
        self.own = torch.cat([noise.flatten() for noise in maps]) / self.spread.clamp_min(1e-12)
        self.generator = copy.deepcopy(generator).to(dtype)
        self.requires_grad_(False).eval()

    def forward(
        self, ws: Float[Tensor, "1 num_ws w_dim"], noise: Float[Tensor, "1 1 scalars"]
    ) -> Float[Tensor, "1 3 size size"]:
        """Render a code with noise."""
        rows = (noise[0, 0] * self.spread).to(self._dtype).split(self._lengths)
        maps = [row.reshape(shape) for row, shape in zip(rows, self._shapes, strict=True)]
        img: Tensor = self.generator.synthesis(ws.to(self._dtype), maps).float()
        return F.adaptive_avg_pool2d(img, self.size_px)


def noise_maps(generator: Generator) -> list[Float[Tensor, "1 1 size size"]]:
    """Return the generator's noise, one map per noisy layer, in synthesis order."""
    return [noise for name, noise in generator.named_buffers() if name.endswith("noise")]


@dataclass(frozen=True, slots=True)
class NoiseSearch:
    """Image2StyleGAN++: after optimising a code, optimise noise maps for it on MSE alone.

    Attributes:
        images: Renders codes with noise.
        own: Start of the search: the generator's noise, in units of its standard deviation.
        steps: Number of updates.

    Source: Abdal et al. 2020: code first, then noise, never both at once. Their masks are not
    needed here; the first stage uses Image2StyleGAN's loss.
    """

    images: Callable[[Tensor, Tensor], Tensor]
    own: Float[Tensor, " scalars"]
    steps: int

    def __call__(
        self, face: SingleImage, ws: SingleCode, on_step: OnStep
    ) -> Float[Tensor, "1 1 scalars"]:
        """Return the noise with the lowest MSE."""
        iterator = LatentIterator(lambda noise: self.images(ws, noise), NoDistance(), NOISE)
        state = IteratorState.start(self.own[None, None])
        iterator.run(state, face, self.steps, on_step)
        return state.best_ws
