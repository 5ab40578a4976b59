"""Improve codes' match to their faces in what is left of a time budget."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_core.inversion.iterator import (
    Descent,
    IteratorConfig,
    IteratorState,
    LatentIterator,
    Render,
)
from model_core.inversion.rendering import SmallImages, defer_images
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.background import CompileQueue
from model_core.runtime.clock import read_clock

MAX_STEPS = 100
POLISHING = IteratorConfig(lr=0.02, betas=(0.5, 0.999))
"""For a few steps from a network's code (benchmarks/polish.py): the iterator's own rate of .05
overshoots at first, and its momentum of .9 changes direction too late.
"""


@dataclass(frozen=True, slots=True)
class Polished:
    """Result of a budget.

    Attributes:
        ws: The best codes; those of the start if no step was better.
        steps: Steps done.
    """

    ws: Float[Tensor, "batch num_ws w_dim"]
    steps: int


class Polishing:
    """The polishing of one batch, which can pause between steps and resume later.

    Args:
        descent: Runs the steps.
        device: Device that computes them.
    """

    def __init__(self, descent: Descent, device: torch.device):
        self._descent, self._device = descent, device
        self._evaluated = False
        self._longest_s = 0.0

    @property
    def result(self) -> Polished:
        """The result so far."""
        state = self._descent.state
        return Polished(state.best_ws.cpu(), state.step)

    def go_on(self, end_s: float, pause: Callable[[], bool] = lambda: False) -> bool:
        """Do steps until another one, as long as the longest so far, would end too late.

        The first call always evaluates the starting codes, however late it is.

        Args:
            end_s: When to end, on `time.monotonic`'s scale.
            pause: Called after each step; returning True pauses.

        Returns:
            Whether the polishing is finished; otherwise `go_on` may be called again.
        """
        state = self._descent.state
        started_s = read_clock(self._device)
        while state.step < MAX_STEPS or not self._evaluated:
            if self._evaluated:
                if started_s + self._longest_s >= end_s:
                    return True
                self._descent.update()
            self._descent.evaluate()
            self._evaluated = True
            now_s = read_clock(self._device)
            self._longest_s, started_s = max(self._longest_s, now_s - started_s), now_s
            if pause():
                return state.step >= MAX_STEPS or started_s + self._longest_s >= end_s
        return True


class Polisher:
    """Run the iterator on an image head's small images for a limited time.

    Args:
        images: Codes to small images.
        lpips: The perceptual part of the loss.
        device: Device on which they run.
        queue: Compiles the images' rendering; None leaves it as it is.
    """

    def __init__(
        self,
        images: SmallImages,
        lpips: Perceptual,
        device: str,
        queue: CompileQueue | None = None,
    ):
        self._images, self._device = images, device
        render: Render = defer_images(queue, "polisher", images) if queue else images
        self._iterator = LatentIterator(render, lpips.to(device), POLISHING)

    def __call__(
        self,
        faces: Float[Tensor, "batch 3 height width"],
        ws: Float[Tensor, "batch num_ws w_dim"],
        budget_s: float,
    ) -> Polished:
        """Polish the codes of faces until another step would exceed the budget.

        Args:
            faces: In [-1, 1], at least as large as the images.
            ws: Codes to start from.
            budget_s: Seconds for all of them.
        """
        end_s = time.monotonic() + budget_s
        polishing = self.begin(faces, ws)
        polishing.go_on(end_s)
        return polishing.result

    def begin(
        self,
        faces: Float[Tensor, "batch 3 height width"],
        ws: Float[Tensor, "batch num_ws w_dim"],
    ) -> Polishing:
        """Prepare to polish the codes of faces, all of them together."""
        device = torch.device(self._device)
        target = F.adaptive_avg_pool2d(faces.to(device), self._images.size_px)
        state = IteratorState.start(ws.to(device))
        return Polishing(self._iterator.begin(state, target), device)
