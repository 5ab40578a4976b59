"""Bring codes nearer to their faces in what is left of a time budget."""

import time
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_core.background import CompileQueue
from model_core.iterator import Iterator, IteratorConfig, IteratorState, Render, StepReport
from model_core.perceptual import Perceptual
from model_core.rendering import SmallImages, defer_images

MAX_STEPS = 100
POLISHING = IteratorConfig(lr=0.02, betas=(0.5, 0.999))
"""For few steps from a network's code (benchmarks/polish.py): the iterator's own rate of .05
overshoots first, and its momentum of .9 turns late.
"""


@dataclass(frozen=True, slots=True)
class Polished:
    """What a budget gave.

    Attributes:
        ws: The best codes, those of the start where no step was better.
        steps: Steps done.
    """

    ws: Float[Tensor, "batch num_ws w_dim"]
    steps: int


class Polisher:
    """Run the iterator on the small images of an image head for a time.

    Args:
        images: Codes to small images.
        lpips: The perceptual part of the loss.
        device: Where they compute.
        queue: Compiles the images; None leaves them as they are.
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
        self._iterator = Iterator(render, lpips.to(device), POLISHING)

    def __call__(
        self,
        faces: Float[Tensor, "batch 3 height width"],
        ws: Float[Tensor, "batch num_ws w_dim"],
        budget_s: float,
    ) -> Polished:
        """Polish the codes of faces until a further step would pass the budget.

        Args:
            faces: In [-1, 1], of the images' size or larger.
            ws: Where to begin.
            budget_s: Seconds for all of them.
        """
        started_s = time.monotonic()
        longest_s, last_s = 0.0, started_s

        def on_step(_report: StepReport) -> bool:
            nonlocal longest_s, last_s
            now_s = time.monotonic()
            longest_s, last_s = max(longest_s, now_s - last_s), now_s
            return now_s + longest_s < started_s + budget_s

        target = F.adaptive_avg_pool2d(faces.to(self._device), self._images.size_px)
        state = IteratorState.start(ws.to(self._device))
        state = self._iterator.run(state, target, MAX_STEPS, on_step)
        return Polished(state.best_ws.cpu(), state.step)
