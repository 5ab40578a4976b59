"""The figures of an image against the face that it shall show."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from model_core.metrics.identity import SAME_PERSON_SIMILARITY
from model_core.metrics.pixels import identity_similarity, mse, psnr, ssim
from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import SingleImage

Describe = Callable[[SingleImage], Tensor]
"""A face's descriptor (1, d), by which a recogniser tells persons apart."""


def higher_is_better(measure: str) -> bool:
    """Tell whether larger figures of a measure are better."""
    return measure in ("psnr_db", "ssim", "same_person") or measure.endswith("similarity")


class Scorer:
    """Measures images at the face's size.

    Args:
        describe: The identity judge's descriptors; None leaves its two figures out.
        distances: Perceptual distances, each a column of its own.
        recognisers: Others by name, each a column of its own.
    """

    def __init__(
        self,
        describe: Describe | None,
        distances: Sequence[Perceptual],
        recognisers: Mapping[str, Describe] | None = None,
    ):
        self._describe, self._distances = describe, list(distances)
        self._recognisers = dict(recognisers or {})

    @property
    def judges_identity(self) -> bool:
        """Whether there is an identity judge."""
        return self._describe is not None

    @property
    def measures(self) -> list[str]:
        """Names of the figures, in the order that `against` gives them."""
        named = [distance.name for distance in self._distances]
        identity = ["identity_similarity", "same_person"] if self.judges_identity else []
        others = [f"{name}_similarity" for name in self._recognisers]
        return ["mse", "psnr_db", "ssim", *named, *identity, *others]

    def against(self, face: SingleImage) -> "FaceScorer":
        """Prepare to measure many images of one face."""
        return FaceScorer(self._describe, self._distances, [*self._recognisers.values()], face)


class FaceScorer:
    """Measures images of one face; what belongs to the face is computed once."""

    @torch.no_grad()
    def __init__(
        self,
        describe: Describe | None,
        distances: Sequence[Perceptual],
        recognisers: Sequence[Describe],
        face: SingleImage,
    ):
        self._distances, self._face = distances, face
        self._judged = None if describe is None else (describe, describe(face))
        self._others = [(recognise, recognise(face)) for recognise in recognisers]
        self._features = [distance.features(face) for distance in distances]

    @property
    def device(self) -> torch.device:
        """Where the face lies, and so the images."""
        return self._face.device

    @torch.no_grad()
    def __call__(self, img: SingleImage) -> Float[Tensor, " figures"]:
        """Return the figures of an image, clamped to [-1, 1] first."""
        img = img.clamp(-1, 1)
        far = [
            distance.distance(distance.features(img), features)
            for distance, features in zip(self._distances, self._features, strict=True)
        ]
        pixels = [measure(self._face, img) for measure in (mse, psnr, ssim)]
        identity: list[Tensor] = []
        if self._judged is not None:
            describe, known = self._judged
            alike = identity_similarity(describe(img), known)
            identity = [alike, (alike >= SAME_PERSON_SIMILARITY).float()]
        others = [identity_similarity(recognise(img), known) for recognise, known in self._others]
        return torch.cat([*pixels, *far, *identity, *others])
