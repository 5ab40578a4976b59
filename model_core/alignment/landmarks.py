"""Predict the 68 landmarks of a detected face, at any tilt, and refuse what is not a face.

The landmark predictor was trained on upright faces; on a tilted one it is just as sure, and wrong.
So landmarks are predicted in a copy rotated upright by the previous prediction, until the line
between the eyes is level there. Five predictions from shifted boxes agree when they are right, and
the detector confirms an upright face: what fails these tests at every angle is not taken for one.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import dlib
import numpy as np
from jaxtyping import Float64
from PIL import Image

from model_core.alignment.second_glance import Glimpse
from model_core.alignment.sightings import WEAK_SCORE, DetectedFace, FaceDetector, Sighting
from model_core.alignment.views import CLOSE_UP_FACE_PX, View, close_up
from model_core.errors import CheckpointError

# Boxes (shift x, shift y, scale) from which landmarks are predicted and averaged: the predictor
# starts from the box, and the mean of five starts is half as noisy as one.
STARTS = ((0, 0, 1), (0.03, 0, 1.04), (-0.03, 0, 0.96), (0, 0.03, 1), (0, -0.03, 1))
# What sets upright faces apart, from 32 faces in close-ups turned in steps of 20 degrees. SPREAD is
# the mean distance of the starts' landmarks from their mean, in face widths: .005 for upright
# faces (at most .024 for 95 %), .039 for those rotated by more than 40 degrees (at least .019 for
# 95 %). The detector's median score is 1.9 for an upright close-up, -.9 for one rotated by 60.
LEVEL_DEG = 6.0
LEVEL_TRIES = 3
MAX_SPREAD = 0.024
SURE_SPREAD = 0.012
SURE_TILT_DEG = 20.0  # the first prediction is right up to this tilt
SCORE_FACE_PX = 100
LEAST_SCORE = -1.0
BETTER_SCORE = 0.5  # by how much another angle must score higher to be preferred
RETRY_DEG = (0.0, 25.0, -25.0, 50.0, -50.0, 180.0)
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
MOUTH_CORNERS = [48, 54]
# What the second glance sees must agree with the landmarks: mean distance of eyes and mouth, in
# widths of its box. With such a witness, the starts may be further apart.
MAX_APART = 0.12
MAX_SPREAD_AGREED = 0.06


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkShape:
    """Landmarks in the photo's plane, predicted in a close-up.

    Attributes:
        points: The mean over the starts.
        roll_deg: How far the close-up's horizontal was rotated clockwise in the photo.
        spread: Mean distance of the starts' landmarks from their mean, in face widths.
    """

    points: Float64[np.ndarray, "68 2"]
    roll_deg: float
    spread: float

    @property
    def is_level(self) -> bool:
        """Whether the line between the eyes is level in the close-up."""
        return abs(_turn_deg(tilt_deg(self.points) - self.roll_deg)) <= LEVEL_DEG

    @property
    def is_reliable(self) -> bool:
        """Whether nothing but the detector could still contradict the landmarks."""
        return self.is_level and self.spread <= MAX_SPREAD


class LandmarkReader:
    """Reads the landmarks of detected faces; one instance serves any number of threads.

    Args:
        landmark_model: dlib's 68-point predictor.
        detector: Confirms that a face is upright.

    Raises:
        CheckpointError: If the file is missing or not a shape predictor.
    """

    def __init__(self, landmark_model: Path, detector: FaceDetector) -> None:
        if not landmark_model.is_file():
            raise CheckpointError(
                f"landmark_model must be a file, got none at {landmark_model}; "
                "`python -m model_core.checkpoints pull` fetches the default one"
            )
        try:
            self._predictor = dlib.shape_predictor(str(landmark_model))
        except RuntimeError as err:
            raise CheckpointError(
                f"landmark_model must be a dlib shape predictor, got {landmark_model}"
            ) from err
        self._detector = detector

    def read(self, photo: Image.Image, sighting: Sighting) -> DetectedFace | None:
        """Return the face of a sighting; None if there is none with trustworthy landmarks.

        Landmarks are first predicted in the sighting's view, then in upright and sharper ones.
        """
        given_deg = sighting.view.roll_deg
        shape = self._level(photo, sighting, tilt_deg(self._predict(sighting.view, sighting.box)))
        is_tilted = abs(_turn_deg(shape.roll_deg - given_deg)) > SURE_TILT_DEG
        if is_tilted or not shape.is_level or shape.spread > SURE_SPREAD:
            rolls_deg = [shape.roll_deg, *(given_deg + turn for turn in RETRY_DEG)]
            scores = [self._score(photo, sighting, roll_deg) for roll_deg in rolls_deg]
            best = int(np.argmax(scores))
            if not shape.is_reliable or scores[0] < scores[best] - BETTER_SCORE:
                shape, is_tilted = self._level(photo, sighting, rolls_deg[best]), True
            # The sighting itself is the detector's evidence for a face that is not tilted.
            if not shape.is_reliable or (is_tilted and scores[best] < WEAK_SCORE):
                return None
        # The plane's origin is the corner of the first pixel; faces use pixel centres.
        (x, y), half = (sighting.centre - 0.5).tolist(), sighting.width / 2
        return DetectedFace(
            (x - half, y - half, x + half, y + half), shape.points - 0.5, sighting.score
        )

    def read_glimpse(self, photo: Image.Image, glimpse: Glimpse) -> DetectedFace | None:
        """Return the face of a glimpse; None if the landmarks are not where it has seen them."""
        across = glimpse.points[1] - glimpse.points[0]
        roll_deg = math.degrees(math.atan2(across[1], across[0]))
        half = glimpse.width / 2
        left, top = (glimpse.centre - half).round().astype(int).tolist()
        right, bottom = (glimpse.centre + half).round().astype(int).tolist()
        whole = View(photo, np.eye(2, 3))
        box = dlib.rectangle(left, top, right - 1, bottom - 1)
        shape = self._level(photo, Sighting(whole, box, 0.0), roll_deg)
        eyes_and_mouth = np.stack(
            [
                shape.points[RIGHT_EYE].mean(0),
                shape.points[LEFT_EYE].mean(0),
                shape.points[MOUTH_CORNERS].mean(0),
            ]
        )
        apart = np.linalg.norm(eyes_and_mouth - glimpse.points, axis=1).mean() / glimpse.width
        if apart > MAX_APART or shape.spread > MAX_SPREAD_AGREED:
            return None
        (x, y) = (glimpse.centre - 0.5).tolist()
        return DetectedFace(
            (x - half, y - half, x + half, y + half), shape.points - 0.5, glimpse.probability
        )

    def _level(self, photo: Image.Image, sighting: Sighting, roll_deg: float) -> LandmarkShape:
        """Predict landmarks in close-ups, rotating them until the eyes are level."""
        for _ in range(LEVEL_TRIES):
            shape = self._shape(photo, sighting, roll_deg)
            roll_deg = tilt_deg(shape.points)
            if shape.is_level:
                break
        return shape

    def _shape(self, photo: Image.Image, sighting: Sighting, roll_deg: float) -> LandmarkShape:
        """Predict landmarks from five boxes in a close-up."""
        view = close_up(photo, sighting.centre, sighting.width, math.radians(roll_deg))
        middle = view.image.width / 2
        starts = []
        for shift_x, shift_y, scale in STARTS:
            x, y = middle + CLOSE_UP_FACE_PX * shift_x, middle + CLOSE_UP_FACE_PX * shift_y
            half = CLOSE_UP_FACE_PX * scale / 2
            box = dlib.rectangle(round(x - half), round(y - half), round(x + half), round(y + half))
            starts.append(self._predict(view, box))
        # (5, 68, 2) -> (68, 2); how far the five are from it tells whether to trust it.
        points: Float64[np.ndarray, "68 2"] = np.mean(starts, axis=0)
        spread = float(np.linalg.norm(starts - points, axis=2).mean()) / sighting.width
        return LandmarkShape(points, roll_deg, spread)

    def _score(self, photo: Image.Image, sighting: Sighting, roll_deg: float) -> float:
        """Return the detector's score for an upright face in the middle of a close-up."""
        view = close_up(photo, sighting.centre, sighting.width, math.radians(roll_deg))
        small = view.image.reduce(CLOSE_UP_FACE_PX // SCORE_FACE_PX)
        found = self._detector.run(np.asarray(small), LEAST_SCORE)
        middle, reach = small.width / 2, SCORE_FACE_PX / 3
        return max(
            (
                score
                for box, score in found
                if max(abs(box.dcenter().x - middle), abs(box.dcenter().y - middle)) < reach
            ),
            default=-math.inf,
        )

    def _predict(self, view: View, box: dlib.rectangle) -> Float64[np.ndarray, "68 2"]:
        """Predict landmarks from one box, in the photo's plane."""
        parts = self._predictor(np.asarray(view.image), box).parts()
        return view.to_photo(np.array([(part.x + 0.5, part.y + 0.5) for part in parts]))


def tilt_deg(landmarks: Float64[np.ndarray, "68 2"]) -> float:
    """Return how far the line between the eyes of 68 landmarks is rotated clockwise."""
    x, y = landmarks[LEFT_EYE].mean(0) - landmarks[RIGHT_EYE].mean(0)
    return math.degrees(math.atan2(y, x))


def _turn_deg(angle_deg: float) -> float:
    """Return the same angle in -180 to 180."""
    return (angle_deg + 180) % 360 - 180
