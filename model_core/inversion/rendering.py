"""Codes to images at the size at which losses are computed, differentiable and fast."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.generators.contract import Generator
from model_core.generators.folded import FoldedMobileStyleGAN
from model_core.generators.image_head import HeadedGenerator, ImageHead
from model_core.generators.mobilestylegan import MobileStyleGAN
from model_core.runtime.backends import compile_lazily
from model_core.runtime.background import BackgroundCompiled, CompileQueue


class SmallImages(nn.Module):
    """W+ codes -> images in [-1, 1], not clamped, of a size below the generator's own.

    Args:
        generator: Generator to render; float32, on the CPU; copied. Of a folded copy only sizes
            and mean may be read.
        size_px: Side of the images: the true output area-averaged, or a head's.
        head: Renders the images from the generator's lower blocks, for a fraction of the work.
        dtype: Dtype of the generator; images are float32.
        folded: Whether a MobileStyleGAN's wavelets are folded into its weights, which is faster but
            cannot be trained. Below a head they always are.
    """

    def __init__(
        self,
        generator: Generator,
        size_px: int,
        head: ImageHead | None = None,
        dtype: torch.dtype = torch.float32,
        folded: bool = True,
    ):
        super().__init__()
        self.size_px, self._dtype = size_px, dtype
        self.generator = generator = copy.deepcopy(generator)
        self.network: nn.Module = generator
        self._render: Callable[[Tensor], Tensor] = generator.synthesis
        if head:
            self.network = self._render = _headed(generator, head)
        elif isinstance(generator, MobileStyleGAN) and folded:
            self.network = network = FoldedMobileStyleGAN(generator)
            divides = generator.img_resolution // 2 % size_px == 0
            small = partial(network.small_images, size_px=size_px)
            self._render = small if divides else network.synthesis
        self.network.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(False).eval()

    def forward(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, "batch 3 size size"]:
        """Render codes."""
        img: Tensor = self._render(ws.to(self._dtype)).float()
        return img if img.shape[-1] == self.size_px else F.adaptive_avg_pool2d(img, self.size_px)


def defer_images(
    queue: CompileQueue, name: str, images: SmallImages, without_gradient: bool = False
) -> BackgroundCompiled[[Tensor], Tensor]:
    """Serve images with a fallback until their compiled form, with its gradient, is faster.

    Args:
        queue: Compiles them.
        name: Name for the log.
        images: On their device.
        without_gradient: Whether they are also called without gradients, which compiles separately.
    """
    generator = images.generator
    ws = generator.w_mean.float().repeat(1, generator.num_ws, 1)

    def call(render: Callable[[Tensor], Tensor]) -> Tensor:
        start = ws.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(render(start).sum(), start)
        return gradient.cpu()  # waits for the device

    def make() -> Callable[[Tensor], Tensor]:
        render: Callable[[Tensor], Tensor] = compile_lazily(images)
        call(render)
        if without_gradient:
            with torch.no_grad():
                render(ws)
        return render

    return queue.defer(name, images, make, call)


def _headed(generator: Generator, head: ImageHead) -> HeadedGenerator:
    """Put a copy of a head on a generator of the family that it was fitted to."""
    if not isinstance(generator, MobileStyleGAN):
        raise TypeError(f"generator must be a MobileStyleGAN, got {type(generator).__name__}")
    return HeadedGenerator(FoldedMobileStyleGAN(generator), copy.deepcopy(head))
