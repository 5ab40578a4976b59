"""Bring a code nearer to a face, step by step: the generator and the iterator behind two calls."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from model_core.images import FACE_PX, to_float
from model_core.inversion.iterator import IteratorConfig, IteratorState, Render, StepReport
from model_core.inversion.rendering import SmallImages, defer_images
from model_core.inversion.two_stage import HeadRender, TwoStageIterator
from model_core.networks.loading import (
    load_generator,
    load_image_head,
    load_judge,
    load_stlpips,
)
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.backends import Backend
from model_core.runtime.background import BackgroundCompiled
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from model_core.runtime.precision import DtypeName
from model_core.shapes import SingleImage
from model_core.weights.cache import DEFAULT_GENERATOR


class Refiner:
    """Refine codes on one device.

    Args:
        render: Codes to images in [-1, 1], differentiable, of the target's size or larger.
        lpips: The perceptual part of the loss.
        fingerprint: SHA-256 of the generator's weights.
        device: Where render computes.
        config: What equation 1 leaves open.
        head: Renders the first steps, if there is one.
        judge: Compares persons; None leaves that out.
    """

    def __init__(
        self,
        render: Render,
        lpips: Perceptual,
        fingerprint: str,
        device: str = "cpu",
        config: IteratorConfig | None = None,
        head: HeadRender | None = None,
        judge: IdentityJudge | None = None,
    ):
        self._judge = judge
        self.fingerprint, self.device, self.lpips_name = fingerprint, device, lpips.name
        self._iterator = TwoStageIterator(render, lpips.to(device), config, head)
        renders = (render, head.render if head else None)
        self._deferred = [each for each in renders if isinstance(each, BackgroundCompiled)]

    @property
    def compiling(self) -> bool:
        """Whether what renders is still being compiled, so that steps are slower than they will be.

        They stay so where it cannot be compiled; then this is false.
        """
        return not all(deferred.settled for deferred in self._deferred)

    @classmethod
    def load(
        cls,
        cache: Path,
        device: str = "cpu",
        backend: Backend = "auto",
        generator_name: str = DEFAULT_GENERATOR,
        head: Path | None = None,
        dtype: DtypeName = "auto",
    ) -> "Refiner":
        """Load a generator; it is compiled in the background while the first steps run.

        Args:
            cache: Weights cache, filled by `python -m model_core.checkpoints pull`.
            device: "cpu" or a CUDA device.
            backend: eager computes by plain torch; all others (openvino too, which knows no
                gradients) by TorchInductor, where that can compile and proves faster.
            generator_name: The default's name, or one given to `checkpoints convert`.
            head: The .safetensors file of the generator's image head, without which all steps go
                through true output.
            dtype: What networks compute in: model_core.runtime.precision.
        Raises:
            CheckpointError: If a weight file is missing or damaged.
            InvalidInputError: If the backend cannot run on the device.
            ModelMismatchError: If the head was fitted to another generator.
        """
        generator, fingerprint = load_generator(cache, generator_name)
        execution = Execution.choose(
            device, backend, dtype, cache / "verdicts", {"generator": fingerprint}
        )
        chosen = execution.precision.dtype
        small: HeadRender | None = None
        if head:
            image_head = load_image_head(head, fingerprint)
            size_px = image_head.config.img_px
            images = SmallImages(generator, size_px, image_head, chosen).to(device)
            small = HeadRender(_deferred(execution, "first refiner", images), size_px)
        images = SmallImages(generator, FACE_PX, dtype=chosen).to(device)
        render = _deferred(execution, "refiner", images, without_gradient=True)
        judge = load_judge(cache)
        compares = IdentityJudge(judge, execution) if judge else None
        execution.queue.import_compiler()
        execution.queue.start()
        lpips = load_stlpips(cache).to(chosen)
        return cls(render, lpips, fingerprint, device, head=small, judge=compares)

    def start(self, ws: Float[Tensor, "num_ws w_dim"]) -> IteratorState:
        """Begin at a code."""
        return IteratorState.start(ws[None].float().to(self.device))

    def check_device(self) -> None:
        """Find out after a failure whether the device still computes at all.

        Raises:
            RuntimeError: If it does not.
        """
        torch.zeros(1, device=self.device).add_(1).item()

    def run(
        self,
        state: IteratorState,
        target: UInt8[np.ndarray, "size size 3"],
        steps: int,
        on_step: Callable[[StepReport], bool] = lambda _report: True,
    ) -> None:
        """Do some steps towards a face, in place.

        Args:
            state: Where to go on from, one code.
            target: The face, RGB.
            steps: Updates.
            on_step: Told of every evaluation before its update; a false answer stops the run.
        """
        self._iterator.run(state, self._to_img(target), steps, on_step)

    def identity_similarity(
        self, target: UInt8[np.ndarray, "size size 3"], report: StepReport
    ) -> float | None:
        """Compare the person that a step has come to with the face's; None without a judge."""
        if self._judge is None:
            return None
        return float(self._judge(self._to_img(target), report.img))

    def _to_img(self, target: UInt8[np.ndarray, "size size 3"]) -> SingleImage:
        return to_float(torch.from_numpy(target).to(self.device).permute(2, 0, 1)[None])


def _deferred(
    execution: Execution, name: str, images: SmallImages, without_gradient: bool = False
) -> Render:
    """Compile images in the background if anything is compiled here."""
    if not execution.compiles:
        return images
    return defer_images(execution.queue, name, images, without_gradient)
