"""Codes to images at the size at which losses are computed, differentiable and fast."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.encoders.detail_encoder import DetailEncoder
from model_core.errors import InvalidInputError
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
        self._tail: Callable[[Tensor, Tensor, int], Tensor] | None = None
        if head:
            self.network = self._render = headed = _headed(generator, head)
            self._tail = headed.tail
        elif isinstance(generator, MobileStyleGAN) and folded:
            self.network = network = FoldedMobileStyleGAN(generator)
            divides = generator.img_resolution // 2 % size_px == 0
            small = partial(network.small_images, size_px=size_px)
            self._render = small if divides else network.synthesis
            self._tail = partial(network.small_tail, size_px=size_px) if divides else network.tail
        self.network.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(False).eval()

    def forward(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, "batch 3 size size"]:
        """Render codes."""
        return self._sized(self._render(ws.to(self._dtype)))

    def features(
        self, ws: Float[Tensor, "batch num_ws w_dim"], blocks: int
    ) -> Float[Tensor, "batch channels px px"]:
        """Run a folded generator's first blocks."""
        out: Tensor = self.network.features(ws.to(self._dtype), blocks)  # type: ignore[operator]
        return out

    def tail(
        self,
        features: Float[Tensor, "batch channels px px"],
        ws: Float[Tensor, "batch num_ws w_dim"],
        blocks: int,
    ) -> Float[Tensor, "batch 3 size size"]:
        """Render a folded generator's features; `tail(features(ws, n), ws, n)` is `forward(ws)`.

        Raises:
            InvalidInputError: If the generator is not folded.
        """
        if self._tail is None:
            raise InvalidInputError(
                "generator must be a folded MobileStyleGAN to be split, "
                f"got {type(self.generator).__name__}"
            )
        return self._sized(self._tail(features.to(self._dtype), ws.to(self._dtype), blocks))

    def _sized(self, img: Tensor) -> Float[Tensor, "batch 3 size size"]:
        img = img.float()
        return img if img.shape[-1] == self.size_px else F.adaptive_avg_pool2d(img, self.size_px)


class DetailImages(nn.Module):
    """Features and details -> small images: the part of `SmallImages` above the features.

    Args:
        images: Renders the same without details; not copied.
        encoder: The generator's detail encoder, adapted to folded features; its decoder is copied.
        dtype: Dtype of the decoder.
    """

    def __init__(self, images: SmallImages, encoder: DetailEncoder, dtype: torch.dtype):
        super().__init__()
        self.images, self.blocks = images, encoder.config.blocks
        self.decoder = copy.deepcopy(encoder.decoder).to(dtype)
        self.requires_grad_(False).eval()

    def forward(
        self,
        features: Float[Tensor, "batch channels px px"],
        details: Float[Tensor, "batch bottleneck px px"],
        ws: Float[Tensor, "batch num_ws w_dim"],
    ) -> Float[Tensor, "batch 3 size size"]:
        """Render features with details; the upper rows of the codes style them."""
        correction = self.decoder(details.to(self.decoder.weight.dtype))
        return self.images.tail(features + correction, ws, self.blocks)

    @torch.no_grad()
    def features(
        self, ws: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, "batch channels px px"]:
        """Compute the features that details correct."""
        return self.images.features(ws, self.blocks)


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


def defer_detail_images(
    queue: CompileQueue, name: str, images: DetailImages, encoder: DetailEncoder
) -> BackgroundCompiled[[Tensor, Tensor, Tensor], Tensor]:
    """Serve images with details with a fallback until their compiled form is faster.

    Args:
        queue: Compiles them, with their gradient by details.
        name: Name for the log.
        images: On their device.
        encoder: Says how large details are.
    """
    generator, config = images.images.generator, encoder.config
    ws = generator.w_mean.float().repeat(1, generator.num_ws, 1)
    shape = (1, config.bottleneck, config.features_px, config.features_px)

    def call(render: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        details = ws.new_zeros(shape).requires_grad_(True)
        img = render(images.features(ws), details, ws)
        (gradient,) = torch.autograd.grad(img.sum(), details)
        return gradient.cpu()  # waits for the device

    def make() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        render: Callable[[Tensor, Tensor, Tensor], Tensor] = compile_lazily(images)
        call(render)
        with torch.no_grad():
            render(images.features(ws), ws.new_zeros(shape), ws)
        return render

    return queue.defer(name, images, make, call)


def _headed(generator: Generator, head: ImageHead) -> HeadedGenerator:
    """Put a copy of a head on a generator of the family that it was fitted to."""
    if not isinstance(generator, MobileStyleGAN):
        raise TypeError(f"generator must be a MobileStyleGAN, got {type(generator).__name__}")
    return HeadedGenerator(FoldedMobileStyleGAN(generator), copy.deepcopy(head))
