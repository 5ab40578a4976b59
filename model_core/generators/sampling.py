"""Codes of random faces, each a function of its seed alone."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from model_core.generators.contract import Generator

SPREAD_SEEDS = 2048


@torch.inference_mode()
def sample_w(
    generator: Generator, seeds: Iterable[int], psi: float
) -> Float[Tensor, "seeds w_dim"]:
    """Map a standard normal z of each seed to W: the same seed gives the same face everywhere.

    Args:
        generator: Whose mapping network is sampled, on the CPU.
        seeds: Each 0 to 2**32 - 1.
        psi: Truncation: 0 is the average face, 1 the whole distribution.
    """
    draws = [np.random.default_rng(seed).standard_normal(generator.w_dim) for seed in seeds]
    z = torch.from_numpy(np.stack(draws)).float()
    return generator.truncate(generator.mapping(z), psi)


@torch.inference_mode()
def spread_along(
    generator: Generator, directions: Float[Tensor, "rows w_dim"]
) -> Float[Tensor, " rows"]:
    """Measure how far mapped codes reach along directions.

    Args:
        generator: Whose codes are sampled, untruncated.
        directions: Of any length but 0.

    Returns:
        Standard deviation of the codes' projections, to about 2 %.
    """
    codes = sample_w(generator, range(SPREAD_SEEDS), psi=1.0)
    along: Tensor = (codes - codes.mean(dim=0)) @ (directions / directions.norm(dim=1)[:, None]).T
    return along.std(dim=0)
