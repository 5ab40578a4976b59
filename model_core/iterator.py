"""The iterator: optimise W+ codes until their images match, from any start.

Source: Guan et al. 2020, section 3.1 and equation 1; Adam by Kingma and Ba 2015.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from model_core.errors import CheckpointError, InvalidInputError
from model_core.perceptual import Perceptual

Codes = Float[Tensor, "batch num_ws w_dim"]
Images = Float[Tensor, "batch 3 height width"]
Render = Callable[[Codes], Images]
"""Codes to images in [-1, 1], differentiable, at any size not below the target's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IteratorConfig:
    """What equation 1 leaves open.

    Attributes:
        alpha: Weight of LPIPS beside MSE; 1 in the paper.
        lr: Learning rate of Adam; ours.
        betas: Adam's betas; ours.
        eps: Added to Adam's denominator.
    """

    alpha: float = 1.0
    lr: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8


@dataclass(slots=True)
class IteratorState:
    """All that a run needs to go on: it is a function of this and the target.

    Attributes:
        ws: Present codes, (batch, num_ws, w_dim).
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
        """Begin at the given codes."""
        ws = ws.detach().clone()
        best_loss = torch.full((len(ws),), torch.inf, device=ws.device)
        return cls(ws, torch.zeros_like(ws), torch.zeros_like(ws), ws.clone(), best_loss)

    def save(self, path: Path) -> None:
        """Write the state as safetensors."""
        tensors = {
            field.name: getattr(self, field.name).contiguous()
            for field in fields(self)
            if field.name != "step"
        }
        save_file(tensors, path, {"step": str(self.step)})

    @classmethod
    def load(cls, path: Path) -> "IteratorState":
        """Read back what save wrote.

        Raises:
            CheckpointError: If the file is no state of an iterator.
        """
        names = [field.name for field in fields(cls) if field.name != "step"]
        try:
            with safe_open(path, "pt") as stored:
                tensors = {name: stored.get_tensor(name) for name in names}
                return cls(**tensors, step=int(stored.metadata()["step"]))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as err:
            raise CheckpointError(f"{path.name} must hold an iterator's state: {err}") from err


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one evaluation of equation 1 found, each (batch,).

    Attributes:
        step: Updates done when the codes were evaluated.
        loss: mse + alpha * lpips.
        mse: Mean squared error on [-1, 1].
        lpips: Perceptual distance.
        by_head: Whether an image head rendered the codes, so that these figures do not compare with
            those of true output.
    """

    step: int
    loss: Float[Tensor, " batch"]
    mse: Float[Tensor, " batch"]
    lpips: Float[Tensor, " batch"]
    by_head: bool = False


class Iterator:
    """Optimise codes for target images; items of a batch do not influence each other.

    Args:
        render: The generator, frozen.
        lpips: The perceptual part of the loss.
        config: What equation 1 leaves open.
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
        judge_last: bool = True,
    ) -> IteratorState:
        """Do some updates in place, then judge the last codes as well.

        Args:
            state: Where to go on from.
            target: Images in [-1, 1]; the loss is taken at their size.
            steps: Updates.
            on_step: Told of every evaluation before its update; a false answer stops the run.
            judge_last: False leaves the last codes to a run that goes on from them.

        Returns:
            The state: best_ws holds the best codes of all runs so far.
        Raises:
            InvalidInputError: If codes and targets differ in number.
        """
        if len(state.ws) != len(target):
            raise InvalidInputError(
                f"target must have one image per code, got {len(target)} for {len(state.ws)}"
            )
        with torch.no_grad():
            wanted = self._lpips.features(target)
        for _ in range(steps):
            ws = state.ws.detach().requires_grad_(True)
            report = self._evaluate(ws, target, wanted, state.step)
            (gradient,) = torch.autograd.grad(report.loss.sum(), ws)
            self._keep_best(state, report)
            if not on_step(report):
                return state
            self._update(state, gradient)
        if not judge_last:
            return state
        with torch.no_grad():
            last = self._evaluate(state.ws, target, wanted, state.step)
        self._keep_best(state, last)
        on_step(last)
        return state

    @torch.no_grad()
    def losses(self, ws: Codes, target: Images) -> Float[Tensor, " batch"]:
        """Compute equation 1 of codes as they are."""
        return self._evaluate(ws, target, self._lpips.features(target), 0).loss

    def _evaluate(self, ws: Codes, target: Images, wanted: list[Tensor], step: int) -> StepReport:
        """Compute equation 1 for each item."""
        img = self._render(ws)
        if img.shape[-2:] != target.shape[-2:]:
            img = F.adaptive_avg_pool2d(img, (target.shape[-2], target.shape[-1]))
        mse = (img - target).square().mean(dim=(1, 2, 3))
        lpips = self._lpips.distance(self._lpips.features(img), wanted)
        return StepReport(step, mse + self.config.alpha * lpips, mse, lpips)

    @staticmethod
    @torch.no_grad()
    def _keep_best(state: IteratorState, report: StepReport) -> None:
        better = report.loss < state.best_loss
        state.best_loss = torch.where(better, report.loss, state.best_loss)
        state.best_ws = torch.where(better[:, None, None], state.ws, state.best_ws)

    @torch.no_grad()
    def _update(self, state: IteratorState, gradient: Codes) -> None:
        """Do Adam's update."""
        config = self.config
        state.step += 1
        state.moment1 = torch.lerp(gradient, state.moment1, config.betas[0])
        state.moment2 = torch.lerp(gradient.square(), state.moment2, config.betas[1])
        mean = state.moment1 / (1 - config.betas[0] ** state.step)
        spread = state.moment2 / (1 - config.betas[1] ** state.step)
        state.ws = state.ws - config.lr * mean / (spread.sqrt() + config.eps)
