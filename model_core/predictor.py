"""The whole model behind a few calls: bytes in, codes and bytes out, batch first, no state."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from model_core.checkpoints.files import file_digest
from model_core.checkpoints.layout import weight_path
from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.errors import InvalidInputError
from model_core.generators.contract import Generator
from model_core.loading import (
    DEFAULT_GENERATOR,
    DEFAULT_IDENTITY,
    LANDMARKS,
    load_embedding_network,
    load_generator,
    load_stlpips,
)
from model_core.metrics import identity_similarity, psnr, ssim
from model_core.perceptual import Perceptual
from model_core.synthesizer import Backend, Synthesizer

FACE_PX = 256
Faces = UInt8[np.ndarray, "batch 256 256 3"]
Codes = Float[Tensor, "batch num_ws w_dim"]


@dataclass(frozen=True, slots=True)
class Quality:
    """How near a reconstruction came to its face, at 256 px.

    Attributes:
        psnr: Peak signal-to-noise ratio, dB.
        ssim: Structural similarity, at most 1.
        lpips: Perceptual distance by the network that lpips_net names, 0 is identical.
        lpips_net: Name of the perceptual distance.
        identity_similarity: Cosine of face descriptors, at most 1. The descriptor is the identity
            encoder's own, so the figure flatters.
    """

    psnr: float
    ssim: float
    lpips: float
    lpips_net: str
    identity_similarity: float


class Predictor:
    """Embed faces, render codes, judge reconstructions.

    Args:
        generator: Frozen, float32, on the CPU.
        network: Trained for that generator.
        lpips: The perceptual distance of the quality figures.
        fingerprint: SHA-256 of the generator's weights.
        weight_digests: SHA-256 of each weight file in use, by file name, the landmarks' included.
        device: "cpu" or a CUDA device.
        backend: How the generator runs.
    """

    def __init__(
        self,
        generator: Generator,
        network: EmbeddingNetwork,
        lpips: Perceptual,
        fingerprint: str,
        weight_digests: dict[str, str],
        device: str = "cpu",
        backend: Backend = "auto",
    ):
        self.fingerprint, self.weight_digests = fingerprint, weight_digests
        self.device = device
        self.generator_name = DEFAULT_GENERATOR
        self.num_ws, self.w_dim = generator.num_ws, generator.w_dim
        self.img_resolution = generator.img_resolution
        self._generator = generator
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._lpips = lpips.to(device)
        self._synthesizer = Synthesizer(generator, device, backend)

    @classmethod
    def load(
        cls, cache: Path, network: Path, device: str = "cpu", backend: Backend = "auto"
    ) -> "Predictor":
        """Load the default generator and a trained embedding network.

        Args:
            cache: Weights cache, filled by `python -m model_core.checkpoints pull`.
            network: The embedding network's .safetensors file.
            device: "cpu" or a CUDA device.
            backend: How the generator runs.
        Raises:
            CheckpointError: If a weight file is missing or damaged.
            ModelMismatchError: If the network was trained for another generator.
        """
        generator, fingerprint = load_generator(cache)
        embedder = load_embedding_network(network, cache, generator, fingerprint)
        packs = (DEFAULT_GENERATOR, DEFAULT_IDENTITY, "st-lpips-alex", LANDMARKS)
        files = [network, *(weight_path(cache, name) for name in packs)]
        used = {file.name: file_digest(file) for file in files}
        return cls(generator, embedder, load_stlpips(cache), fingerprint, used, device, backend)

    @property
    def backend(self) -> str:
        """How the generator runs: eager, compile or openvino."""
        return self._synthesizer.backend

    def embed(self, faces: Faces) -> Codes:
        """Embed aligned faces; float32 codes on the CPU."""
        return self.merge(faces, faces)

    @torch.inference_mode()
    def merge(self, identity: UInt8[np.ndarray, "other 256 256 3"], attribute: Faces) -> Codes:
        """Embed the identity of one batch of faces with the attributes of another.

        Raises:
            InvalidInputError: If the batches differ in size.
        Source: Guan et al. 2020, figure 9: the features are merged inside the network.
        """
        if len(identity) != len(attribute):
            raise InvalidInputError(
                f"identity must have {len(attribute)} faces as attribute has, got {len(identity)}"
            )
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            f_id = self._network.identity(self._to_float(identity))
            f_attr = self._network.read_attributes(self._to_float(attribute))
        ws: Tensor = self._network.decode(f_attr.float(), f_id.float())
        return ws.cpu()

    def synthesize(self, ws: Codes) -> UInt8[np.ndarray, "batch height width 3"]:
        """Render codes to RGB bytes."""
        return self._synthesizer(ws).numpy()

    @torch.inference_mode()
    def sample(self, seed: int, psi: float) -> Float[Tensor, "1 num_ws w_dim"]:
        """Sample the code of a random face: the same seed gives the same face everywhere.

        Args:
            seed: 0 to 2**32 - 1.
            psi: Truncation: 0 is the average face, 1 the whole distribution.
        """
        z = torch.from_numpy(np.random.default_rng(seed).standard_normal((1, self.w_dim)))
        w = self._generator.truncate(self._generator.mapping(z.float()), psi)
        return w[:, None].repeat(1, self.num_ws, 1)

    @torch.inference_mode()
    def quality(
        self, faces: Faces, images: UInt8[np.ndarray, "batch height width 3"]
    ) -> list[Quality]:
        """Compare faces with their reconstructions, brought to 256 px by area."""
        a = self._to_float(faces)
        b = F.adaptive_avg_pool2d(self._to_float(images), FACE_PX)
        identity = self._network.identity
        same = identity_similarity(identity.descriptor(a), identity.descriptor(b))
        figures = torch.stack([psnr(a, b), ssim(a, b), self._lpips(a, b), same]).T.tolist()
        return [Quality(p, s, d, self._lpips.name, i) for p, s, d, i in figures]

    def _to_float(
        self, images: UInt8[np.ndarray, "batch height width 3"]
    ) -> Float[Tensor, "batch 3 height width"]:
        img = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        return img.float() / 127.5 - 1
