"""Improve a code's match to a face step by step: generator and iterator behind two calls."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from model_core.images import FACE_PX, to_float
from model_core.inversion.detail_iterator import DetailIterator, DetailRender, RenderDetail
from model_core.inversion.detailed import DetailedIterator, RefineState
from model_core.inversion.iterator import IteratorConfig, Render, StepReport
from model_core.inversion.rendering import (
    DetailImages,
    SmallImages,
    defer_detail_images,
    defer_images,
)
from model_core.inversion.two_stage import HeadRender, TwoStageIterator
from model_core.networks.loading import (
    load_detail_encoder,
    load_generator,
    load_image_head,
    load_judge,
    load_stlpips,
)
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.backends import Backend
from model_core.runtime.background import BackgroundCompiled
from model_core.runtime.detail import DetailEncoding
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from model_core.runtime.precision import DtypeName
from model_core.shapes import DetailTensor, SingleImage
from model_core.weights.cache import DEFAULT_GENERATOR


class Refiner:
    """Refine codes on one device.

    Args:
        render: Codes to images in [-1, 1], differentiable, at least as large as the target.
        lpips: The perceptual part of the loss.
        fingerprint: SHA-256 of the generator's weights.
        device: Device that renders.
        config: Choices that equation 1 leaves open.
        head: Renders the first steps, if there is one.
        judge: Compares identities; None leaves that out.
        detail: Encodes what a code leaves out of the face, and renders it; None leaves that out.
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
        detail: tuple[DetailEncoding, DetailRender] | None = None,
    ):
        self._judge = judge
        self._detail: DetailEncoding | None = None
        upper: DetailRender | None = None
        if detail:
            self._detail, upper = detail
        self.fingerprint, self.device, self.lpips_name = fingerprint, device, lpips.name
        lpips = lpips.to(device)
        self._iterator = TwoStageIterator(render, lpips, config, head)
        self._detailed: DetailedIterator | None = None
        if self._detail and upper:
            search, encode = DetailIterator(upper, lpips), self._detail.encode
            self._detailed = DetailedIterator(render, lpips, search, encode, config, head)
        by_code = (head.render if head else render, render)
        by_detail = (upper.cheapest,) if upper else by_code
        self._renders: dict[bool, tuple[object, ...]] = {False: by_code, True: by_detail}

    def is_compiling(self, detail: bool = False) -> bool:
        """Return whether rendering is still being compiled, so that steps will become faster.

        False if it cannot be compiled, as steps then stay slow.

        Args:
            detail: Whether the steps are those of a run with detail.
        """
        renders = self._renders[detail]
        return not all(each.settled for each in renders if isinstance(each, BackgroundCompiled))

    @classmethod
    def load(
        cls,
        cache: Path,
        device: str = "cpu",
        backend: Backend = "auto",
        generator_name: str = DEFAULT_GENERATOR,
        head: Path | None = None,
        dtype: DtypeName = "auto",
        detail: Path | None = None,
    ) -> "Refiner":
        """Load a generator; it is compiled in the background while the first steps run.

        Args:
            cache: Weights cache, filled by `python -m model_core.checkpoints pull`.
            device: "cpu" or a CUDA device.
            backend: eager uses plain torch; all others (including openvino, which has no
                gradients) use TorchInductor, if it can compile and proves faster.
            generator_name: The default's name, or one given to `checkpoints convert`.
            head: The .safetensors file of the generator's image head; without one, all steps use
                true output.
            dtype: Precision of the networks; see model_core.runtime.precision.
            detail: The .safetensors file of the generator's detail encoder, if details are wanted.
        Raises:
            CheckpointError: If a weight file is missing or damaged.
            InvalidInputError: If the backend cannot run on the device.
            ModelMismatchError: If head or detail encoder belong to another generator.
        """
        generator, fingerprint = load_generator(cache, generator_name)
        execution = Execution.choose(
            device, backend, dtype, cache / "verdicts", {"generator": fingerprint}
        )
        chosen = execution.precision.dtype
        images = SmallImages(generator, FACE_PX, dtype=chosen).to(device)
        head_images: SmallImages | None = None
        if head:
            image_head = load_image_head(head, fingerprint)
            size_px = image_head.config.img_px
            head_images = SmallImages(generator, size_px, image_head, chosen).to(device)
        details: tuple[DetailEncoding, DetailRender] | None = None
        if detail:
            loaded = load_detail_encoder(detail, generator, fingerprint)
            # Runs where a job's detail begins and at each save before, which is too rarely for it
            # to be worth compiling.
            once: Backend = "openvino" if execution.by_openvino else "eager"
            encoding = DetailEncoding(generator, *loaded, replace(execution, backend=once))
            # Compiled first: most steps of most jobs go through it.
            details = encoding, _upper(execution, encoding, images, head_images)
        small: HeadRender | None = None
        if head_images:
            by_head = _deferred(execution, "first refiner", head_images)
            small = HeadRender(by_head, head_images.size_px)
        render = _deferred(execution, "refiner", images, without_gradient=True)
        judge = load_judge(cache)
        compares = IdentityJudge(judge, execution) if judge else None
        execution.queue.import_compiler()
        execution.queue.start()
        lpips = load_stlpips(cache).to(chosen)
        return cls(render, lpips, fingerprint, device, head=small, judge=compares, detail=details)

    def start(self, ws: Float[Tensor, "num_ws w_dim"]) -> RefineState:
        """Start at a code."""
        return RefineState.start(ws[None].float().to(self.device))

    def check_device(self) -> None:
        """Check after a failure whether the device still works at all.

        Raises:
            RuntimeError: If it does not.
        """
        torch.zeros(1, device=self.device).add_(1).item()

    @property
    def details(self) -> bool:
        """Whether there is a detail encoder, so that details can be refined."""
        return self._detailed is not None

    def run(
        self,
        state: RefineState,
        target: UInt8[np.ndarray, "size size 3"],
        steps: int,
        on_step: Callable[[StepReport], bool] = lambda _report: True,
        detail: bool = False,
    ) -> None:
        """Do a number of steps towards a face, in place.

        Args:
            state: State to resume from, one code.
            target: The face, RGB.
            steps: Number of updates.
            on_step: Called with every evaluation before its update; returning False stops the run.
            detail: Whether steps are on the detail too, if there is a detail encoder.
        """
        img = self._to_img(target)
        if detail and self._detailed:
            self._detailed.run(state, img, steps, on_step)
        else:
            self._iterator.run(state.codes, img, steps, on_step)

    @property
    def detail_fingerprint(self) -> str | None:
        """SHA-256 of the detail decoder's weights; None if there is none."""
        return self._detail.fingerprint if self._detail else None

    def detail_of(
        self, state: RefineState, target: UInt8[np.ndarray, "size size 3"], latest: bool = False
    ) -> DetailTensor | None:
        """Return the detail of a run's best code; None without a detail encoder.

        Args:
            state: State of the run; before its search of a detail, the encoder makes one.
            target: The face, RGB.
            latest: Whether the latest code and detail are meant in place of the best.
        """
        if state.detail:
            return (state.detail.current if latest else state.detail.best)[0].cpu()
        if self._detail is None:
            return None
        ws = state.codes.ws if latest else state.codes.best_ws
        return self._detail.encode(self._to_img(target), ws)[0]

    def identity_similarity(
        self, target: UInt8[np.ndarray, "size size 3"], report: StepReport
    ) -> float | None:
        """Compare the identity in a step's image with the face's; None without a judge."""
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


def _upper(
    execution: Execution,
    encoding: DetailEncoding,
    images: SmallImages,
    head_images: SmallImages | None,
) -> DetailRender:
    """Make what renders details from what renders codes."""
    dtype = execution.precision.dtype

    def make(whole: SmallImages) -> DetailImages:
        return DetailImages(whole, encoding.encoder, dtype).to(execution.device)

    true = make(images)
    # A smaller head's images would not show what details are for.
    by_head = make(head_images) if head_images and head_images.size_px == FACE_PX else None
    searched = true if by_head is None else by_head
    cheap: RenderDetail = searched
    if execution.compiles:
        cheap = defer_detail_images(execution.queue, "detail refiner", searched, encoding.encoder)
    if by_head is None:
        return DetailRender(true.features, cheap)
    return DetailRender(true.features, true, cheap)
