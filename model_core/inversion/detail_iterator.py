"""Optimise the detail of a face, through the generator's upper blocks alone.

The code, and with it the features that the detail corrects, stays as it is. A step is cheaper than
one on the code: it needs neither the lower blocks nor, if there is an image head, the largest ones.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from model_core.encoders.detail_encoder import DETAIL_LIMIT
from model_core.inversion.iterator import (
    IteratorConfig,
    IteratorState,
    LatentIterator,
    StepReport,
)
from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import Codes, Details, Images

DETAIL = IteratorConfig(alpha=0.2, lr=0.1, betas=(0.9, 0.99))
"""For details in units of their channels' spread. The perceptual distance falls at once here, and
squared error slowly, so that it weighs more than in the iterator.
"""

LEAST_UNIT = 0.05
"""Least unit of a channel: some hardly vary within a face."""

COMPARE_EVERY = 10
"""Steps between comparisons of an image head with true output."""

RenderDetail = Callable[[Tensor, Tensor, Tensor], Images]
"""Features, details and codes to images in [-1, 1], of the target's size."""


@dataclass(frozen=True, slots=True)
class DetailRender:
    """The generator cut where details correct its features.

    Attributes:
        features: Codes to these features, without gradients.
        true: Renders true output, area-averaged.
        head: Renders the same through an image head, for a fraction of the work; None uses `true`.
    """

    features: Callable[[Codes], Tensor]
    true: RenderDetail
    head: RenderDetail | None = None

    @property
    def cheapest(self) -> RenderDetail:
        """The head if there is one, and true output otherwise."""
        # Compiled modules have no truth value.
        return self.true if self.head is None else self.head


@dataclass(slots=True)
class DetailState:
    """Everything that the search of a detail needs to resume.

    Attributes:
        search: The iterator's state, in which details take the place of codes: a row of places for
            each channel, in units of their own.
        unit: These units, the spread of each channel at the start.
        error: What the head's image lacks of true output, as of the last comparison.
    """

    search: IteratorState
    unit: Float[Tensor, "batch channels 1"]
    error: Images

    @property
    def current(self) -> Details:
        """The current detail, as it is stored."""
        return self._stored(self.search.ws)

    @property
    def best(self) -> Details:
        """The detail with the lowest loss so far, as it is stored."""
        return self._stored(self.search.best_ws)

    def as_details(
        self, rows: Float[Tensor, "batch channels places"]
    ) -> Float[Tensor, "batch channels px px"]:
        """Convert what is searched to details, in float32."""
        px = math.isqrt(rows.shape[-1])
        details: Tensor = (rows * self.unit).unflatten(2, (px, px))
        return details

    def _stored(self, rows: Float[Tensor, "batch channels places"]) -> Details:
        return self.as_details(rows).clamp(-DETAIL_LIMIT, DETAIL_LIMIT).half()


class DetailIterator:
    """Optimise details for target images, starting from those of the detail encoder.

    Steps go through the head, whose error hardly depends on the detail: it is measured every few
    steps and added to the head's images, so that what is optimised is true output.

    Args:
        render: The frozen generator.
        lpips: The perceptual part of the loss.
        config: As for the iterator.
    """

    def __init__(self, render: DetailRender, lpips: Perceptual, config: IteratorConfig = DETAIL):
        self._render, self._lpips, self._config = render, lpips, config

    def start(self, details: Details, target: Images) -> DetailState:
        """Start at details, on the target's device."""
        rows = details.to(target.device).float().flatten(2)
        unit = rows.std(2, keepdim=True).clamp_min(LEAST_UNIT)
        return DetailState(IteratorState.start(rows / unit), unit, torch.zeros_like(target))

    @torch.no_grad()
    def mse(self, details: Details, ws: Codes, target: Images) -> float:
        """Compute the mean squared error of true output with details, over all images."""
        details = details.to(target.device).float()
        img = self._render.true(self._render.features(ws), details, ws)
        return float((img - target).square().mean())

    def run(
        self,
        state: DetailState,
        ws: Codes,
        target: Images,
        steps: int,
        on_step: Callable[[StepReport], bool] = lambda _report: True,
    ) -> None:
        """Do a number of updates in place, then score the last details too.

        Args:
            state: State to resume from.
            ws: The codes that the details belong to.
            target: Images in [-1, 1], of the size that is rendered.
            steps: Number of updates.
            on_step: Called with every evaluation before its update; returning False stops the run.
                Its steps are those of this search.
        """
        features, search = self._render.features(ws), state.search

        def render(rows: Float[Tensor, "batch channels places"]) -> Images:
            return self._render.cheapest(features, state.as_details(rows), ws) + state.error

        def compare() -> None:
            if self._render.head is None:
                return
            with torch.no_grad():
                details = state.as_details(search.ws)
                true = self._render.true(features, details, ws)
                state.error = true - self._render.head(features, details, ws)

        descent = LatentIterator(render, self._lpips, self._config).begin(search, target)
        for _ in range(steps):
            if search.step % COMPARE_EVERY == 0:
                compare()
            if not on_step(replace(descent.evaluate(), phase="detail")):
                return
            descent.update()
        compare()
        on_step(replace(descent.score(), phase="detail"))
