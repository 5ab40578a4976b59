"""Codes of random faces, each determined by its seed alone; and mixed ones, for training."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from model_core.generators.contract import Generator

SPREAD_SEEDS = 2048
SOURCES = 4
"""Most W codes that one W+ code is mixed from."""


@torch.inference_mode()
def sample_w(
    generator: Generator, seeds: Iterable[int], psi: float
) -> Float[Tensor, "seeds w_dim"]:
    """Map each seed's standard normal z to W: the same seed gives the same face everywhere.

    Args:
        generator: The generator whose mapping network is sampled, on the CPU.
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
    """Measure the spread of mapped codes along directions.

    Args:
        generator: The generator whose codes are sampled, untruncated.
        directions: Of any length but 0.

    Returns:
        Standard deviation of the codes' projections, to about 2 %.
    """
    codes = sample_w(generator, range(SPREAD_SEEDS), psi=1.0)
    along: Tensor = (codes - codes.mean(dim=0)) @ (directions / directions.norm(dim=1)[:, None]).T
    return along.std(dim=0)


@runtime_checkable
class Mixing(Protocol):
    """How codes of W+ are drawn; training's settings are one, `Mixture` is another."""

    @property
    def psi_min(self) -> float:
        """Lowest truncation."""

    @property
    def psi_max(self) -> float:
        """Highest truncation."""

    @property
    def mixed_share(self) -> float:
        """Share of codes that are mixed from several at random rows."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """The mixing in training's default settings."""

    psi_min: float = 0.4
    psi_max: float = 1.0
    mixed_share: float = 0.5


def seeded(seed: int, stream: str, index: int) -> torch.Generator:
    """Return a generator that depends only on its arguments, so that runs can resume."""
    words = np.random.SeedSequence([seed, index, *stream.encode()]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))


def sample_codes(
    generator: Generator, config: Mixing, count: int, random: torch.Generator
) -> Float[Tensor, "batch num_ws w_dim"]:
    """Sample W+ codes: truncated by a random psi, some mixed from up to four codes.

    Args:
        generator: The generator whose mapping network is sampled, on its device.
        config: Provides psi_min, psi_max and mixed_share.
        count: Number of codes.
        random: Source of randomness, on the CPU.
    """
    return _mix(generator, config, [_draw(count, generator, random)])


def sample_each(
    generator: Generator, config: Mixing, randoms: Iterable[torch.Generator]
) -> Float[Tensor, "batch num_ws w_dim"]:
    """Sample one W+ code from each source of randomness, mapped in one batch."""
    return _mix(generator, config, [_draw(1, generator, random) for random in randoms])


def _draw(count: int, generator: Generator, random: torch.Generator) -> list[Tensor]:
    """Draw everything that is random about some codes."""
    return [
        torch.randn(count * SOURCES, generator.w_dim, generator=random),
        torch.rand(count * SOURCES, 1, generator=random),
        torch.randint(1, generator.num_ws, (count, SOURCES - 1, 1), generator=random),
        torch.randint(1, SOURCES, (count, 1, 1), generator=random),
        torch.rand(count, 1, 1, generator=random),
    ]


def _mix(
    generator: Generator, config: Mixing, draws: list[list[Tensor]]
) -> Float[Tensor, "batch num_ws w_dim"]:
    """Build codes from what was drawn."""
    # Per code SOURCES of z and of psi, SOURCES - 1 rows to cut at, how many are used, and a chance.
    device, dim, rows = generator.w_mean.device, generator.w_dim, generator.num_ws
    z, share, cuts, used, chance = (torch.cat(part).to(device) for part in zip(*draws, strict=True))
    psi = config.psi_min + (config.psi_max - config.psi_min) * share
    w = generator.truncate(generator.mapping(z), psi)
    # (count, SOURCES - 1, 1): which cuts are used; (count, SOURCES - 1, rows): rows from each on.
    active = torch.arange(SOURCES - 1, device=device)[:, None] < used
    mixed = chance < config.mixed_share
    source = ((torch.arange(rows, device=device) >= cuts) & active & mixed).sum(dim=1)
    # source (count, rows): how many cuts precede a row, so which of its SOURCES it takes.
    return torch.gather(w.reshape(-1, SOURCES, dim), 1, source[:, :, None].expand(-1, -1, dim))
