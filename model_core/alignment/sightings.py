"""Detections of faces in views of a photo, and how far to trust them."""

import math
from dataclasses import dataclass

import dlib
import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from model_core.alignment.views import View

SMALL_FACE = 0.16  # of the long side: next to such a face others may be too small to be seen
CLEAR_SCORE = 0.4  # 152 of 160 faces exceed it; other things and sideways faces hardly ever do
SURE_SCORE = 0.0  # dlib's own threshold
WEAK_SCORE = -0.25  # 1 false alarm in 160 photos whose faces were masked out


@dataclass(frozen=True, slots=True, eq=False)
class DetectedFace:
    """A face in a photo, in photo pixels with pixel centres at whole numbers.

    Attributes:
        box: Left, top, right, bottom of the detector's square; may reach past the photo's edge.
        landmarks: The 68 points of iBUG 300-W, x then y.
        score: The detector's confidence; 0 is its usual threshold, a clear face has 1 to 3. That
            of the second glance is a probability.
    """

    box: tuple[float, float, float, float]
    landmarks: Float64[np.ndarray, "68 2"]
    score: float

    @property
    def width(self) -> float:
        """The box's width."""
        return self.box[2] - self.box[0]


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A detection: a square in a view."""

    view: View
    box: dlib.rectangle
    score: float

    @property
    def centre(self) -> Float64[np.ndarray, "2"]:
        """The middle of the box, in the photo's plane."""
        # dlib counts from pixel centres, the plane from the corner of the first pixel.
        middle = self.box.dcenter()
        point: Float64[np.ndarray, 2] = self.view.to_photo(
            np.array([[middle.x + 0.5, middle.y + 0.5]])
        )[0]
        return point

    @property
    def width(self) -> float:
        """The box's width in photo pixels."""
        return float(self.box.width()) * self.view.scale

    def shows_same(self, other: "Sighting") -> bool:
        """Whether both squares lie on one face."""
        distance = float(np.linalg.norm(self.centre - other.centre))
        return distance < max(self.width, other.width) / 2

    def shows(self, face: DetectedFace) -> bool:
        """Whether the square lies on a face."""
        left, top, right, bottom = face.box
        middle = np.array([left + right, top + bottom]) / 2 + 0.5
        return float(np.linalg.norm(self.centre - middle)) < max(self.width, face.width) / 2

    def lies_in(self, size: tuple[int, int]) -> bool:
        """Whether the middle half of the square lies in a photo of this width and height."""
        margin = self.width / 4
        return bool(np.all((self.centre >= margin) & (self.centre <= np.array(size) - margin)))


class FaceDetector:
    """dlib's frontal face detector; one instance serves any number of threads."""

    def __init__(self, at_once: int = 1) -> None:
        """Make detectors for so many calls at once, which takes a quarter of a second for each."""
        # dlib's detectors are not thread-safe and worker threads come and go, so each call borrows
        # an idle one or makes another.
        self._idle = [dlib.get_frontal_face_detector() for _ in range(at_once)]

    def detect(self, view: View) -> list[Sighting]:
        """Return the squares in a view that score above WEAK_SCORE."""
        found = self.run(np.asarray(view.image), WEAK_SCORE)
        return [Sighting(view, box, score) for box, score in found]

    def run(
        self, grey: UInt8[np.ndarray, "h w"], least_score: float
    ) -> list[tuple[dlib.rectangle, float]]:
        """Return the squares in an image that score above a threshold, with their scores."""
        try:
            detector = self._idle.pop()
        except IndexError:
            detector = dlib.get_frontal_face_detector()
        try:
            boxes, scores, _ = detector.run(grey, 0, least_score)
        finally:
            self._idle.append(detector)
        return list(zip(boxes, scores, strict=True))


def by_size(sightings: list[Sighting]) -> list[Sighting]:
    """Sort sightings, the widest first."""
    return sorted(sightings, key=lambda s: s.width, reverse=True)


def suffices(seen: list[Sighting], photo: Image.Image) -> bool:
    """Whether one of the faces is large and clear enough."""
    large = SMALL_FACE * max(photo.size)
    return any(s.score > CLEAR_SCORE and s.width >= large for s in seen)


def united(first: list[Sighting], second: list[Sighting]) -> list[Sighting]:
    """Add to sightings those of the second that show none of the same faces."""
    return first + [s for s in second if not any(s.shows_same(other) for other in first)]


def best_score(sightings: list[Sighting]) -> float:
    """Return the highest score; below every threshold if there is none."""
    return max((s.score for s in sightings), default=-math.inf)


def trusted(sightings: list[Sighting]) -> list[Sighting]:
    """Keep the clear ones; without any, the sure ones; without any, the best.

    Next to a clear face, doubtful ones are mostly folds and shadows, sometimes larger than it.
    """
    for threshold in (CLEAR_SCORE, SURE_SCORE):
        kept = [s for s in sightings if s.score > threshold]
        if kept:
            return kept
    return sorted(sightings, key=lambda s: s.score)[-1:]
