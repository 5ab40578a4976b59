"""The whole model behind a few calls: bytes in, codes and bytes out, batch first, stateless."""

import copy
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from model_core.encoders.detail_encoder import DetailEncoder
from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.encoders.faceres import FaceRes
from model_core.encoders.style_encoder import StyleEncoder
from model_core.errors import CheckpointError, InvalidInputError, NoEmbedderError
from model_core.generators.contract import Generator
from model_core.generators.image_head import ImageHead
from model_core.inversion.polisher import Polished, Polisher, Polishing
from model_core.inversion.rendering import SmallImages
from model_core.latents.renderer import LatentRenderer
from model_core.metrics.quality import Comparison, Quality
from model_core.networks.loading import (
    load_detail_encoder,
    load_embedder,
    load_generator,
    load_image_head,
    load_judge,
    load_stlpips,
)
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.backends import Backend
from model_core.runtime.embedder import Embedder
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from model_core.runtime.precision import DtypeName, Precision
from model_core.shapes import Codes, Faces
from model_core.weights.cache import DEFAULT_GENERATOR, DEFAULT_JUDGE, LANDMARKS, checked_digest
from model_core.weights.files import read_sidecar

Operation = Literal[
    "embed", "merge", "detail", "blend", "synthesize", "quality", "polish", "sample"
]
BATCHED: tuple[Operation, ...] = ("embed", "merge", "detail", "synthesize", "quality")


class Predictor(LatentRenderer):
    """Embed faces, render codes, measure reconstructions.

    Attributes:
        identity_judge: Name of the recogniser behind the identity figures; None without one.

    Args:
        generator: Frozen, float32, on the CPU.
        network: Trained for that generator; without one, photos cannot be embedded.
        lpips: The perceptual distance of the quality figures.
        fingerprint: SHA-256 of the generator's weights.
        weight_digests: SHA-256 of each weight file in use, by file name, the landmarks' included.
        execution: How everything runs; None takes the CPU and whatever is faster there.
        generator_name: Name of the generator.
        judge: Recogniser of the quality figures; None leaves out the identity figures.
        head: Renders small images, which polishing needs.
        detail: Encodes what codes leave out of photos, and the SHA-256 of its weights; None renders
            codes alone.
        defer_compile: Serve with fallbacks until `start_compiling` has replaced them in the
            background; False compiles here, which takes minutes.
    Raises:
        InvalidInputError: If the generator cannot be split for the detail encoder.
    """

    def __init__(
        self,
        generator: Generator,
        network: EmbeddingNetwork | StyleEncoder | None,
        lpips: Perceptual,
        fingerprint: str,
        weight_digests: dict[str, str],
        execution: Execution | None = None,
        generator_name: str = DEFAULT_GENERATOR,
        judge: FaceRes | None = None,
        head: ImageHead | None = None,
        detail: tuple[DetailEncoder, str] | None = None,
        defer_compile: bool = False,
    ):
        execution = execution or Execution.choose(weights=weight_digests)
        super().__init__(generator, execution, generator_name, detail)
        self.fingerprint, self.weight_digests = fingerprint, weight_digests
        self._execution, device = execution, execution.device
        if network is not None:
            network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        lpips = lpips.to(device)
        self.identity_judge = DEFAULT_JUDGE if judge else None
        self._judge = IdentityJudge(judge, execution) if judge else None
        self._compare = Comparison(lpips, self._judge, execution)
        self._polisher: Polisher | None = None
        if head:
            dtype = execution.precision.dtype
            images = SmallImages(generator, head.config.img_px, head, dtype).to(device)
            queue = execution.queue if execution.compiles else None
            self._polisher = Polisher(images, copy.deepcopy(lpips).to(dtype), device, queue)
        self._network: Embedder | StyleEncoder | None = None
        if isinstance(network, EmbeddingNetwork):
            self._network = Embedder(network, execution)
        else:
            self._network = network
        if not defer_compile:
            execution.queue.run()

    @classmethod
    def load(
        cls,
        cache: Path,
        network: Path | None,
        device: str = "cpu",
        backend: Backend = "auto",
        generator_name: str = DEFAULT_GENERATOR,
        head: Path | None = None,
        dtype: DtypeName = "auto",
        detail: Path | None = None,
        defer_compile: bool = False,
    ) -> "Predictor":
        """Load a generator, and the network that embeds faces for it.

        Args:
            cache: Weights cache, filled by `python -m model_core.checkpoints pull`.
            network: The .safetensors file of an embedding network, or of a converted encoder;
                without one, photos cannot be embedded.
            device: "cpu" or a CUDA device.
            backend: How networks run; see model_core.runtime.execution.
            generator_name: The default's name, or one given to `checkpoints convert`.
            head: The .safetensors file of the generator's image head; without one, codes cannot be
                polished.
            dtype: Precision of the networks; see model_core.runtime.precision.
            detail: The .safetensors file of the generator's detail encoder; without one, codes
                are rendered alone.
            defer_compile: As for the constructor.
        Raises:
            CheckpointError: If a weight file is missing or damaged.
            InvalidInputError: If the backend cannot run on the device.
            ModelMismatchError: If the network was trained for another generator.
        """
        generator, fingerprint = load_generator(cache, generator_name)
        embedder = load_embedder(network, cache, generator, fingerprint) if network else None
        names = {generator_name, "st-lpips-alex", LANDMARKS}
        if isinstance(embedder, EmbeddingNetwork):
            names.add(embedder.config.identity)
        if judge := load_judge(cache):
            names.add(DEFAULT_JUDGE)
        packs = [checked_digest(cache, name) for name in sorted(names)]
        own_files = [file for file in (network, head, detail) if file]
        digests = dict(packs) | {file.name: str(read_sidecar(file)["sha256"]) for file in own_files}
        return cls(
            generator,
            embedder,
            load_stlpips(cache),
            fingerprint,
            weight_digests=digests,
            execution=Execution.choose(device, backend, dtype, cache / "verdicts", digests),
            generator_name=generator_name,
            judge=judge,
            head=load_image_head(head, fingerprint) if head else None,
            detail=load_detail_encoder(detail, generator, fingerprint) if detail else None,
            defer_compile=defer_compile,
        )

    @property
    def embeds(self) -> bool:
        """Whether there is a network for photos; without one, only codes are accepted."""
        return self._network is not None

    @property
    def merges(self) -> bool:
        """Whether that network separates identity and attributes; converted encoders do not."""
        return isinstance(self._network, Embedder) and self._network.disentangled

    @property
    def polishes(self) -> bool:
        """Whether there is an image head, which polishing needs."""
        return self._polisher is not None

    def batches(self, operation: Operation) -> bool:
        """Whether an operation runs faster on a batch than on its items one by one.

        On a CPU it does not: one item keeps the cores busy.
        """
        return self.device != "cpu" and operation in BATCHED

    @property
    def precision(self) -> Precision:
        """Precision of the networks, and the reason for it."""
        return self._execution.precision

    def import_compiler(self) -> None:
        """Import what `start_compiling` needs, which takes seconds; works on any thread."""
        self._execution.queue.import_compiler()

    def start_compiling(self) -> None:
        """Compile what was deferred on a background thread; call on the thread that predicts."""
        self._execution.queue.start()

    @torch.inference_mode()
    def embed(self, faces: Faces) -> Codes:
        """Embed aligned faces; float32 codes on the CPU.

        Raises:
            NoEmbedderError: If there is no network for photos.
        """
        network = self._embedder()
        if isinstance(network, Embedder):
            img = self._to_float(faces)
            return network(img, img).cpu()
        ws: Tensor = network(self._to_float(faces))
        return ws.cpu()

    @torch.inference_mode()
    def merge(self, identity: UInt8[np.ndarray, "other 256 256 3"], attribute: Faces) -> Codes:
        """Embed the identity of one batch of faces with the attributes of another.

        Raises:
            InvalidInputError: If the batches differ in size, or the network does not separate
                identity and attributes, as converted encoders do not.
            NoEmbedderError: If there is no network for photos.
        Source: Guan et al. 2020, figure 9: the features are merged inside the network.
        """
        if len(identity) != len(attribute):
            raise InvalidInputError(
                f"identity must have {len(attribute)} faces like attribute, got {len(identity)}"
            )
        embedder = self._embedder()
        if not isinstance(embedder, Embedder):
            raise InvalidInputError(
                "network must be an embedding network to merge faces, got a converted encoder"
            )
        if not embedder.disentangled:
            raise InvalidInputError(
                "network must separate identity and attributes to merge faces, "
                "got one with `disentangled = false`"
            )
        return embedder(self._to_float(identity), self._to_float(attribute)).cpu()

    def polish(self, faces: Faces, ws: Codes | None, budget_s: float) -> Polished:
        """Improve codes together by as many iterator steps as fit a time budget.

        Args:
            faces: What the codes should render.
            ws: Their codes from `embed`; None embeds them first, within the same budget.
            budget_s: Seconds.
        Raises:
            InvalidInputError: If there is no image head for the generator.
            NoEmbedderError: If faces must be embedded and there is no network for photos.
        """
        end_s = time.monotonic() + budget_s
        polishing = self.polishing(faces, ws)
        polishing.go_on(end_s)
        return polishing.result

    def polishing(self, faces: Faces, ws: Codes | None) -> Polishing:
        """Begin what `polish` does in one go, to run it in parts.

        Args:
            faces: What the codes should render.
            ws: Their codes from `embed`; None embeds them first.
        Raises:
            InvalidInputError: If there is no image head for the generator.
            NoEmbedderError: If faces must be embedded and there is no network for photos.
        """
        if self._polisher is None:
            raise InvalidInputError(
                f"polishing needs an image head, got none for {self.generator_name}: "
                "omit the budget"
            )
        codes = self.embed(faces) if ws is None else ws
        return self._polisher.begin(self._to_float(faces), codes)

    @torch.inference_mode()
    def quality(
        self, faces: Faces, images: UInt8[np.ndarray, "batch height width 3"]
    ) -> list[Quality]:
        """Compare faces with their reconstructions, area-averaged to 256 px."""
        return self._compare(self._to_float(faces), self._to_float(images))

    def describe(self, faces: Faces) -> Float[Tensor, "batch features"]:
        """Describe who aligned faces show, on the CPU: dot products are identity similarities.

        Raises:
            CheckpointError: If there is no recogniser.
        """
        if self._judge is None:
            raise CheckpointError(
                f"telling people apart needs the weights {DEFAULT_JUDGE}, got none: "
                "`python -m model_core.checkpoints pull` fetches them"
            )
        return self._judge.describe(self._to_float(faces)).cpu()

    def _embedder(self) -> Embedder | StyleEncoder:
        if self._network is None:
            raise NoEmbedderError(
                f"embedding a photo needs a network for {self.generator_name}, got none: "
                "send a code, or start from the mean code"
            )
        return self._network
