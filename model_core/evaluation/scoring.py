"""The figures of an image against the face that it shall show."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from model_core.metrics.pixels import identity_distance, identity_similarity, mse, psnr, ssim
from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import SingleImage

Describe = Callable[[SingleImage], Tensor]
"""A face's descriptor (1, d), by which a recogniser tells persons apart."""


def higher_is_better(measure: str) -> bool:
    """Tell whether larger figures of a measure are better."""
    return measure in ("psnr_db", "ssim") or measure.endswith("similarity")


class Scorer:
    """Measures images at the face's size.

    Args:
        describe: dlib's descriptors, of 128 numbers. They come from the embedding network's own
            identity encoder, so these figures are circular for that network.
        distances: Perceptual distances, each a column of its own.
        recognisers: Others by name, each a column of its own.
    """

    def __init__(
        self,
        describe: Describe,
        distances: Sequence[Perceptual],
        recognisers: Mapping[str, Describe] | None = None,
    ):
        self._describe, self._distances = describe, list(distances)
        self._recognisers = dict(recognisers or {})

    @property
    def measures(self) -> list[str]:
        """Names of the figures, in the order that `against` gives them."""
        named = [distance.name for distance in self._distances]
        others = [f"{name}_similarity" for name in self._recognisers]
        return ["mse", "psnr_db", "ssim", *named, "identity_similarity", "dlib_distance", *others]

    def against(self, face: SingleImage) -> "FaceScorer":
        """Prepare to measure many images of one face."""
        return FaceScorer(self._describe, self._distances, [*self._recognisers.values()], face)


class FaceScorer:
    """Measures images of one face; what belongs to the face is computed once."""

    @torch.no_grad()
    def __init__(
        self,
        describe: Describe,
        distances: Sequence[Perceptual],
        recognisers: Sequence[Describe],
        face: SingleImage,
    ):
        self._describe, self._distances, self._face = describe, distances, face
        self._others = [(recognise, recognise(face)) for recognise in recognisers]
        self._features = [distance.features(face) for distance in distances]
        self._descriptor = describe(face)

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
        descriptor = self._describe(img)
        same = identity_similarity(self._descriptor, descriptor)
        apart = identity_distance(self._descriptor, descriptor)
        pixels = [measure(self._face, img) for measure in (mse, psnr, ssim)]
        others = [F.cosine_similarity(recognise(img), known) for recognise, known in self._others]
        return torch.cat([*pixels, *far, same, apart, *others])
