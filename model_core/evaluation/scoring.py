"""Metrics of an image against the face it should show."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from model_core.metrics.identity import SAME_PERSON_SIMILARITY
from model_core.metrics.pixels import identity_similarity, mse, psnr, ssim
from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import SingleImage

Describe = Callable[[SingleImage], Tensor]
"""Maps an image to its identity descriptor, (1, d)."""


def higher_is_better(measure: str) -> bool:
    """Return whether larger values of a metric are better."""
    return measure in ("psnr_db", "ssim", "same_person") or measure.endswith("similarity")


class Scorer:
    """Compute metrics of images at the face's size.

    Args:
        describe: The identity judge; None leaves out its two metrics.
        distances: Perceptual distances, one column each.
        recognisers: Further recognisers by name, one column each.
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
        """Names of the metrics, in the order of the values from `against`."""
        named = [distance.name for distance in self._distances]
        identity = ["identity_similarity", "same_person"] if self.judges_identity else []
        others = [f"{name}_similarity" for name in self._recognisers]
        return ["mse", "psnr_db", "ssim", *named, *identity, *others]

    def against(self, face: SingleImage) -> "FaceScorer":
        """Return a scorer of images of one face."""
        return FaceScorer(self._describe, self._distances, [*self._recognisers.values()], face)


class FaceScorer:
    """Compute metrics of images of one face; everything about the face is computed once."""

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
        """Device of the face, and so of the images."""
        return self._face.device

    @torch.no_grad()
    def __call__(self, img: SingleImage) -> Float[Tensor, " figures"]:
        """Return the metrics of an image after clamping it to [-1, 1]."""
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
