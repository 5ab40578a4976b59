"""Measure every attribute of a face that directions are fitted to."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from PIL import Image

from model_core.alignment.face_finder import FaceFinder, brightness
from model_core.alignment.face_search import FaceSearch
from model_core.images import FACE_PX
from model_core.latents.directions import attributes, pixels
from model_core.latents.directions.estimators import Estimators
from model_core.weights.cache import LANDMARKS, verified_path

GEOMETRY = (
    attributes.yaw,
    attributes.pitch,
    attributes.smile,
    attributes.mouth_open,
    attributes.eyes_open,
)
PIXELS = (pixels.glasses, pixels.beard, pixels.hair_tone, pixels.skin_tone, pixels.gaze)
ESTIMATES = ("age_1", "age_2", "man_1", "man_2")
MEASURES = (*(each.__name__ for each in (*GEOMETRY, *PIXELS)), *ESTIMATES)
"""Names of the measures, in the order in which they are stored."""

DETECTED_PX = 512  # the detector misses faces of less than 80 px

Values = Float64[np.ndarray, " measures"]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured of one face.

    Attributes:
        values: One for each of MEASURES; NaN if no face was found.
        descriptor: FaceRes's; NaN if no face was found.
    """

    values: Values
    descriptor: Float32[np.ndarray, "1024"]

    @property
    def found(self) -> bool:
        """Whether the detector found a face."""
        return not np.isnan(self.values).any()


NOTHING = Measured(np.full(len(MEASURES), np.nan), np.full(1024, np.nan, np.float32))


class Measurer:
    """Measures faces; not for several threads."""

    def __init__(self, cache: Path):
        """Load the landmark predictor and the estimators.

        Raises:
            CheckpointError: If weights are missing.
        """
        self._finder = FaceFinder(verified_path(cache, LANDMARKS))
        self._estimators = Estimators(cache)

    def __call__(self, image: UInt8[np.ndarray, "height width 3"]) -> Measured:
        """Measure a face in an FFHQ crop of 256 px or more."""
        face = np.asarray(_resized(image, FACE_PX))
        large = np.asarray(_resized(image, DETECTED_PX))
        found = FaceSearch(self._finder, brightness(large)).largest
        if found is None:
            return NOTHING
        # Landmarks count from the first pixel's centre.
        landmarks = (found.landmarks + 0.5) * (FACE_PX / DETECTED_PX) - 0.5
        estimate = self._estimators(face, landmarks)
        values = [
            *(float(measure(landmarks[None])[0]) for measure in GEOMETRY),
            *(measure(face, landmarks) for measure in PIXELS),
            *estimate.ages,
            *estimate.men,
        ]
        return Measured(np.asarray(values), estimate.descriptor)


def column(values: Float64[np.ndarray, "... measures"], *names: str) -> Float64[np.ndarray, "..."]:
    """Return the mean of some measures of many faces."""
    mean: Float64[np.ndarray, ...] = np.mean(
        [values[..., MEASURES.index(name)] for name in names], axis=0
    )
    return mean


def _resized(image: UInt8[np.ndarray, "height width 3"], side: int) -> Image.Image:
    picture = Image.fromarray(image)
    shrinks = picture.width >= side
    way = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return picture if picture.width == side else picture.resize((side, side), way)
