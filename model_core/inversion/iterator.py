"""The iterator: optimise W+ codes until their images match, from any start.

Source: Guan et al. 2020, section 3.1 and equation 1; Adam by Kingma and Ba 2015.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_core.errors import InvalidInputError
from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import Codes, Images

Render = Callable[[Codes], Images]
"""Codes to images in [-1, 1], differentiable, no smaller than the target."""

Phase = Literal["code", "detail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IteratorConfig:
    """Choices that equation 1 leaves open.

    Attributes:
        alpha: Weight of LPIPS relative to MSE; 1 in the paper.
        lr: Learning rate of Adam; our choice.
        betas: Adam's betas; our choice.
        eps: Added to Adam's denominator.
    """

    alpha: float = 1.0
    lr: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8


@dataclass(slots=True)
class IteratorState:
    """Everything that a run needs to resume; its outcome depends only on this and the target.

    Attributes:
        ws: Current codes, (batch, num_ws, w_dim).
        moment1: Adam's mean of gradients, like ws.
        moment2: Adam's mean of squared gradients, like ws.
        best_ws: Codes with the lowest loss so far, item by item, like ws.
        best_loss: Their losses, (batch,); infinite before the first step.
        step: Updates done.
    """

    ws: Codes
    moment1: Codes
    moment2: Codes
    best_ws: Codes
    best_loss: Float[Tensor, " batch"]
    step: int = 0

    @classmethod
    def start(cls, ws: Codes) -> "IteratorState":
        """Start at the given codes."""
        ws = ws.detach().clone()
        best_loss = torch.full((len(ws),), torch.inf, device=ws.device)
        return cls(ws, torch.zeros_like(ws), torch.zeros_like(ws), ws.clone(), best_loss)


@dataclass(frozen=True, slots=True)
class StepReport:
    """Result of one evaluation of equation 1; the figures are (batch,).

    Attributes:
        step: Updates done when the codes were evaluated.
        loss: mse + alpha * lpips.
        mse: Mean squared error on [-1, 1].
        lpips: Perceptual distance.
        img: What the codes render, at the target's size, in [-1, 1].
        by_head: Whether an image head rendered the codes, so that these figures do not compare with
            those of true output.
        phase: What the step optimises.
    """

    step: int
    loss: Float[Tensor, " batch"]
    mse: Float[Tensor, " batch"]
    lpips: Float[Tensor, " batch"]
    img: Images
    by_head: bool = False
    phase: Phase = "code"


class LatentIterator:
    """Optimise codes for target images; items of a batch do not influence each other.

    Args:
        render: The frozen generator.
        lpips: The perceptual part of the loss.
        config: Choices that equation 1 leaves open.
    """

    def __init__(self, render: Render, lpips: Perceptual, config: IteratorConfig | None = None):
        self._render, self._lpips = render, lpips
        self.config = config or IteratorConfig()

    def run(
        self,
        state: IteratorState,
        target: Images,
        steps: int,
        on_step: Callable[[StepReport], bool] = lambda _report: True,
        score_last: bool = True,
    ) -> None:
        """Do a number of updates in place, then score the last codes too.

        The state is valid at every call of `on_step`, so that a caller can save it there.

        Args:
            state: State to resume from; best_ws then holds the best codes of all runs so far.
            target: Images in [-1, 1]; the loss is computed at their size.
            steps: Number of updates.
            on_step: Called with every evaluation before its update; returning False stops the run.
            score_last: False leaves scoring the last codes to a run that resumes from them.

        Raises:
            InvalidInputError: If codes and targets differ in number.
        """
        descent = self.begin(state, target)
        for _ in range(steps):
            if not on_step(descent.evaluate()):
                return
            descent.update()
        if score_last:
            on_step(descent.score())

    def begin(self, state: IteratorState, target: Images) -> "Descent":
        """Prepare to do updates one at a time, with any pauses between them.

        Args:
            state: State to resume from; updated in place.
            target: Images in [-1, 1]; the loss is computed at their size.

        Raises:
            InvalidInputError: If codes and targets differ in number.
        """
        if len(state.ws) != len(target):
            raise InvalidInputError(
                f"target must have one image per code, got {len(target)} for {len(state.ws)}"
            )
        return Descent(self, state, target)

    @torch.no_grad()
    def losses(self, ws: Codes, target: Images) -> Float[Tensor, " batch"]:
        """Compute equation 1 for codes as they are."""
        return self.evaluate(ws, target, self.features(target), 0).loss

    @torch.no_grad()
    def features(self, target: Images) -> list[Tensor]:
        """Compute the target features that equation 1 compares with."""
        return self._lpips.features(target)

    def evaluate(self, ws: Codes, target: Images, wanted: list[Tensor], step: int) -> StepReport:
        """Compute equation 1 for each item; `wanted` are the target's features."""
        img = self._render(ws)
        if img.shape[-2:] != target.shape[-2:]:
            img = F.adaptive_avg_pool2d(img, (target.shape[-2], target.shape[-1]))
        mse = (img - target).square().mean(dim=(1, 2, 3))
        lpips = self._lpips.distance(self._lpips.features(img), wanted)
        return StepReport(step, mse + self.config.alpha * lpips, mse, lpips, img.detach())


class Descent:
    """One run towards one batch of targets: `evaluate` and `update` alternate.

    Args:
        iterator: Provides the loss and the configuration.
        state: Updated in place.
        target: Images in [-1, 1], one for each code.
    """

    def __init__(self, iterator: LatentIterator, state: IteratorState, target: Images):
        self.state = state
        self._iterator, self._target = iterator, target
        self._wanted = iterator.features(target)
        self._gradient: Codes | None = None

    def evaluate(self) -> StepReport:
        """Compute the loss of the current codes, keep the best, and prepare an update."""
        ws = self.state.ws.detach().requires_grad_(True)
        report = self._iterator.evaluate(ws, self._target, self._wanted, self.state.step)
        (self._gradient,) = torch.autograd.grad(report.loss.sum(), ws)
        self._keep_best(report)
        return report

    @torch.no_grad()
    def score(self) -> StepReport:
        """Compute the loss of the current codes and keep the best, without preparing an update."""
        report = self._iterator.evaluate(self.state.ws, self._target, self._wanted, self.state.step)
        self._keep_best(report)
        return report

    @torch.no_grad()
    def update(self) -> None:
        """Apply Adam's update with the gradient of the last evaluation."""
        state, config, gradient = self.state, self._iterator.config, self._gradient
        assert gradient is not None  # noqa: S101
        state.step += 1
        state.moment1 = torch.lerp(gradient, state.moment1, config.betas[0])
        state.moment2 = torch.lerp(gradient.square(), state.moment2, config.betas[1])
        mean = state.moment1 / (1 - config.betas[0] ** state.step)
        spread = state.moment2 / (1 - config.betas[1] ** state.step)
        state.ws = state.ws - config.lr * mean / (spread.sqrt() + config.eps)
        self._gradient = None

    @torch.no_grad()
    def _keep_best(self, report: StepReport) -> None:
        state = self.state
        better = report.loss < state.best_loss
        state.best_loss = torch.where(better, report.loss, state.best_loss)
        state.best_ws = torch.where(better[:, None, None], state.ws, state.best_ws)
