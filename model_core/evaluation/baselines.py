"""The embedders that Guan et al. 2020 compare with, all of them on the iterator.

Each is a loss, a start and a number of steps; Image2StyleGAN++ has a second leg on noise maps.
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
"""Abdal et al. 2019: Adam with these values, MSE and perceptual loss of weight 1."""

NOISE = IteratorConfig(alpha=0.0, lr=0.05)
"""The noise leg of Image2StyleGAN++: MSE alone, as Guan et al. remark; the rate is ours."""

NOISE_SHARE = 0.6
"""Noise steps for each step on the code: 3000 for 5000; ours."""


def mean_code(generator: Generator) -> SingleCode:
    """Return the mean code: Image2StyleGAN's start, whatever the face."""
    return generator.w_mean.repeat(1, generator.num_ws, 1)


def random_code(generator: Generator, seed: int) -> SingleCode:
    """Return N(0, 1) in every element: the random start of figure 7."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(1, generator.num_ws, generator.w_dim, generator=random)


@dataclass(frozen=True, slots=True)
class CodeSearch:
    """Optimise the code of one face.

    Image2StyleGAN (Abdal et al. 2019): from the mean code, MSE and vgg-features, 5000 steps.
    StyleGAN-Encoder (Baylies 2019): the same from the code of a single ResNet-50, an embedding
    network that is not disentangled; Guan et al. call the two similar but for the start.

    Attributes:
        render: Codes to images.
        distance: The perceptual part of the loss.
        config: Adam's values and alpha.
        steps: Updates.
        head: Renders the first of them, if there is one.
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
    """Codes and noise maps -> images of a small size, by area; differentiable in both.

    The maps are given as one row, in units of each map's own spread: generators whose noise is
    folded with its strength are searched at the same pace as those that scale unit noise.

    Args:
        generator: Copied.
        size_px: Side of the images.
        dtype: What the generator computes in.
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
    """Return the generator's own noise, one map per noisy layer, in the order of synthesis."""
    return [noise for name, noise in generator.named_buffers() if name.endswith("noise")]


@dataclass(frozen=True, slots=True)
class NoiseSearch:
    """Image2StyleGAN++: after the search of a code, search noise maps for it by MSE alone.

    Attributes:
        images: Renders codes with noise.
        own: Where the search starts: the generator's own noise, in units of its spread.
        steps: Updates.

    Source: Abdal et al. 2020: code first, then noise, never both at once. Their masks are not
    needed here, and their loss of the first leg is Image2StyleGAN's.
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
