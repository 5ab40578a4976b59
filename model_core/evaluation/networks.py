"""The networks the methods use, loaded once and run by one backend."""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_core.encoders.detail_encoder import DetailEncoder
from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.errors import InvalidInputError
from model_core.evaluation.baselines import NoisyImages
from model_core.generators.contract import Generator
from model_core.generators.image_head import ImageHead
from model_core.images import FACE_PX, to_float
from model_core.inversion.detail_iterator import DetailRender
from model_core.inversion.iterator import Render
from model_core.inversion.rendering import DetailImages, SmallImages
from model_core.inversion.two_stage import HeadRender
from model_core.networks.distances import load_distance
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.backends import compile_lazily
from model_core.runtime.detail import DetailRenderer
from model_core.runtime.execution import Execution
from model_core.runtime.precision import FLOAT32, Precision
from model_core.shapes import Codes, Details, SingleCode, SingleImage

Backend = Literal["eager", "compile"]
Embed = Callable[[Float[Tensor, "1 3 height width"]], Float[Tensor, "1 num_ws w_dim"]]


@dataclass(frozen=True)
class EvaluationNetworks:
    """The networks of an evaluation and how they run.

    Attributes:
        generator: Frozen, float32, on the CPU.
        networks: Embedding networks: "network" and the given variants; moved to the device on
            first use.
        digests: SHA-256 of "generator", of each network by its name, of "tuned generator" and of
            "head".
        cache: Weights cache.
        trunks: Folder of torchvision weights, or None.
        backend: "compile" (TorchInductor) or "eager", for generator and embedding network.
        precision: Precision of both.
        tuned: Generator trained together with the network "mse-lpips-tuned", or None.
        head: The generator's image head, or None.
        detail: The generator's detail encoder and the SHA-256 of its weights, or None.
        device: "cpu" or a CUDA device; everything returned runs there.
        face_px: Side of the faces.
    """

    generator: Generator
    networks: Mapping[str, EmbeddingNetwork]
    digests: Mapping[str, str]
    cache: Path
    trunks: Path | None = None
    backend: Backend = "compile"
    precision: Precision = FLOAT32
    tuned: Generator | None = None
    head: ImageHead | None = None
    detail: tuple[DetailEncoder, str] | None = None
    device: str = "cpu"
    face_px: int = FACE_PX
    _embedders: dict[str, Embed] = field(default_factory=dict)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the generator."""
        return self.precision.dtype

    @property
    def device_name(self) -> str:
        """Name of the device: "cpu", or the GPU's model."""
        return self.device if self.device == "cpu" else torch.cuda.get_device_name(self.device)

    @functools.cached_property
    def render(self) -> Render:
        """Renders the full generator's output at the faces' size, by area; differentiable."""
        return self._run(SmallImages(self.generator, self.face_px, dtype=self.dtype))

    @functools.cached_property
    def head_render(self) -> HeadRender:
        """Renders the image head's small images; differentiable.

        Raises:
            InvalidInputError: If no head was given.
        """
        if self.head is None:
            raise InvalidInputError("the generator must have an image head, got none")
        size_px = self.head.config.img_px
        images = SmallImages(self.generator, size_px, self.head, self.dtype)
        return HeadRender(self._run(images), size_px)

    def tuned_render(self) -> Render:
        """Return a renderer that uses the tuned generator.

        Raises:
            InvalidInputError: If none was given.
        """
        if self.tuned is None:
            raise InvalidInputError("mse-lpips-tuned must have its generator, got none")
        return self._run(SmallImages(self.tuned, self.face_px, dtype=self.dtype))

    def noisy_images(self) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor]:
        """Return a renderer of codes with noise, and the generator's own noise."""
        images = NoisyImages(self.generator, self.face_px, self.dtype)
        return self._run(images), images.own.to(self.device)

    @functools.cached_property
    def detail_renderer(self) -> DetailRenderer:
        """The detail encoder with its generator, in eager mode.

        Raises:
            InvalidInputError: If none was given.
        """
        if self.detail is None:
            raise InvalidInputError("the generator must have a detail encoder, got none")
        execution = Execution(self.device, "eager", self.precision)
        return DetailRenderer(self.generator, *self.detail, execution)

    def render_with_detail(self, face: SingleImage, ws: SingleCode) -> Render:
        """Return a renderer of codes with the detail of a face, encoded for its code."""
        detail = self.detail_renderer.encode(face, ws)
        return lambda codes: self.show_detail(codes, detail)

    def show_detail(self, ws: Codes, details: Details) -> SingleImage:
        """Render codes with details at full size, brought to the faces' size by area."""
        images = self.detail_renderer(ws, details).to(self.device).permute(0, 3, 1, 2)
        return F.adaptive_avg_pool2d(to_float(images), self.face_px)

    @functools.cached_property
    def detail_render(self) -> DetailRender:
        """What a detail is searched through: the image head, if there is one for the faces' size.

        Raises:
            InvalidInputError: If no detail encoder was given.
        """
        encoder = self.detail_renderer.encoder

        def make(head: ImageHead | None) -> DetailImages:
            images = SmallImages(self.generator, self.face_px, head, self.dtype)
            return DetailImages(images, encoder, self.dtype).to(self.device)

        true = make(None)
        if self.head is None or self.head.config.img_px != self.face_px:
            return DetailRender(true.features, self._run(true))
        return DetailRender(true.features, true, self._run(make(self.head)))

    def distance(self, name: str) -> Perceptual:
        """Load a perceptual distance."""
        return load_distance(name, self.cache, self.trunks).to(self.device)

    def network(self, name: str) -> EmbeddingNetwork:
        """Return a network by name.

        Raises:
            InvalidInputError: If it was not given.
        """
        if name not in self.networks:
            given = sorted(self.networks)
            raise InvalidInputError(f"the network {name} must be given, got {given}")
        return self.networks[name].to(self.device)

    def embedder(self, name: str) -> Embed:
        """Return a function that embeds one face at a time with a network."""
        if name not in self._embedders:
            self._embedders[name] = self._embedder(name)
        return self._embedders[name]

    def _embedder(self, name: str) -> Embed:
        network = copy.deepcopy(self.network(name))
        run = self._run(network.to(memory_format=torch.channels_last))
        kind = torch.device(self.device).type

        @torch.no_grad()
        def embed(face: Tensor) -> Tensor:
            with self.precision.autocast(kind):
                return run(face)

        return embed

    def _run(self, network: torch.nn.Module) -> Callable[..., Tensor]:
        network = network.to(self.device)
        return compile_lazily(network) if self.backend == "compile" else network
