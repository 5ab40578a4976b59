"""Find the faces in a photo, each with its 68 landmarks.

dlib's frontal face detector (histograms of oriented gradients, windows of 80 px) costs time in
proportion to the pixels it sees, so it looks at a copy of the photo 400 px long first, where a
face of a fifth of the photo's length fills a window. Only what is not seen there is looked for
in larger, padded or turned copies. Landmarks come from the photo's own pixels. All of it reads
brightness alone: the same faces of 160 photos as in colour, in three quarters of the time.

Not covered: profiles (both eyes must show), and faces of less than a fifth of the photo's length
beside a larger one.
"""

import math
import threading
from dataclasses import dataclass
from pathlib import Path

import dlib
import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image, ImageOps

from model_core.errors import CheckpointError, InvalidInputError

MAX_FACES = 16  # landmarks cost some ms a face: a crowd must not hold up a worker
GLANCE_PX = 400
OVERVIEW_PX = 640
CLOSER_PX = 1280
CLOSEST_PX = 2560
SMALL_FACE = 0.16  # of the long side: beside such a face others may be too small to be seen
CLEAR_SCORE = 0.4  # 152 of 160 faces exceed it, what is no face or lies on its side hardly ever
SURE_SCORE = 0.0  # dlib's own threshold
WEAK_SCORE = -0.25  # 1 false alarm in 160 photos whose faces were masked out
TILTS_DEG = (70.0, -70.0, 180.0)  # the detector itself bears 40 degrees either way
PADDING = 0.25  # of each side: a face that fills its photo needs room for the window
LANDMARK_FACE_PX = 200
# Boxes (shift x, shift y, scale) for which landmarks are predicted and averaged: the predictor
# starts from the box, and the mean of five starts is half as noisy as one.
STARTS = ((0, 0, 1), (0.03, 0, 1.04), (-0.03, 0, 0.96), (0, 0.03, 1), (0, -0.03, 1))
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face in a photo; photo pixels, pixel centres at whole numbers.

    Attributes:
        box: Left, top, right, bottom of the detector's square; may reach past the photo's edge.
        landmarks: The 68 points of iBUG 300-W, x then y.
        score: The detector's confidence; 0 is its usual threshold, a clear face has 1 to 3.
    """

    box: tuple[float, float, float, float]
    landmarks: Float64[np.ndarray, "68 2"]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A grey copy of a photo and the affine map from its plane to the photo's (corner at 0, 0)."""

    image: Image.Image
    matrix: Float64[np.ndarray, "2 3"]

    def to_photo(self, points: Float64[np.ndarray, "n 2"]) -> Float64[np.ndarray, "n 2"]:
        """Map points of this view to the photo."""
        mapped: Float64[np.ndarray, "n 2"] = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return mapped

    @property
    def scale(self) -> float:
        """Photo pixels per pixel of this view."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix[:, :2]))))


@dataclass(frozen=True, slots=True, eq=False)
class _Sighting:
    """A detector's answer: a square in a view."""

    view: _View
    box: dlib.rectangle
    score: float

    @property
    def centre(self) -> Float64[np.ndarray, "2"]:
        """The middle of the box, in the photo's plane."""
        middle = self.box.dcenter()
        point: Float64[np.ndarray, 2] = self.view.to_photo(
            np.array([[middle.x + 0.5, middle.y + 0.5]])
        )[0]
        return point

    @property
    def width(self) -> float:
        """The box's width in photo pixels."""
        return float(self.box.width()) * self.view.scale

    def shows_same(self, other: "_Sighting") -> bool:
        """Say whether both squares lie on one face."""
        distance = float(np.linalg.norm(self.centre - other.centre))
        return distance < max(self.width, other.width) / 2

    def lies_in(self, size: tuple[int, int]) -> bool:
        """Say whether the middle half of the square lies in a photo of this width and height."""
        margin = self.width / 4
        return bool(np.all((self.centre >= margin) & (self.centre <= np.array(size) - margin)))


class FaceFinder:
    """Finds faces; one instance serves any number of threads."""

    def __init__(self, landmark_model: Path) -> None:
        """Load dlib's 68-point predictor.

        Raises:
            CheckpointError: If the file is missing or not a shape predictor.
        """
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
        self._thread = threading.local()

    def find(self, photo: UInt8[np.ndarray, "h w 3"]) -> list[Face]:
        """Return the faces of an RGB photo, the largest first, at most 16.

        Raises:
            InvalidInputError: If the photo is not (height, width, 3) in uint8, or is empty.
        """
        require_photo(photo)
        grey = Image.fromarray(photo).convert("L")
        largest = sorted(self._search(grey), key=lambda s: s.width, reverse=True)[:MAX_FACES]
        return [self._face(grey, sighting) for sighting in largest]

    def _search(self, photo: Image.Image) -> list[_Sighting]:
        """Look where faces are likely and cheap to see first, and further until one is clear."""
        large = SMALL_FACE * max(photo.size)

        def suffices(seen: list[_Sighting]) -> bool:
            return any(s.score > CLEAR_SCORE and s.width >= large for s in seen)

        seen = self._detect(_scaled(photo, GLANCE_PX))
        if suffices(seen):
            return _trusted(seen)
        overview = _scaled(photo, OVERVIEW_PX)
        seen = self._detect(overview)
        if not suffices(seen):
            closer = self._detect(_scaled(photo, CLOSER_PX))
            seen = closer + [s for s in seen if not any(s.shows_same(other) for other in closer)]
        if _best_score(seen) > CLEAR_SCORE:
            return _trusted(seen)
        padded = self._detect(_padded(overview, PADDING))
        attempts = [
            seen,
            [s for s in padded if s.lies_in(photo.size)],  # not a half face and its mirror image
            *(self._detect(_turned(overview, tilt_deg)) for tilt_deg in TILTS_DEG),
        ]
        best = max(attempts, key=_best_score)
        if not best and max(photo.size) > CLOSER_PX:
            closest = self._detect(_scaled(photo, CLOSEST_PX))
            best = [s for s in closest if s.score > SURE_SCORE]
        return _trusted(best)

    def _detect(self, view: _View) -> list[_Sighting]:
        """Run the detector of this thread; dlib's detectors must not be shared."""
        if not hasattr(self._thread, "detector"):
            self._thread.detector = dlib.get_frontal_face_detector()
        boxes, scores, _ = self._thread.detector.run(np.asarray(view.image), 0, WEAK_SCORE)
        return [_Sighting(view, box, score) for box, score in zip(boxes, scores, strict=True)]

    def _face(self, photo: Image.Image, sighting: _Sighting) -> Face:
        """Predict landmarks in the sighting's view, then again in an upright, sharper one."""
        rough = self._predict(sighting.view, sighting.box)
        across = rough[LEFT_EYE].mean(0) - rough[RIGHT_EYE].mean(0)
        view = _close_up(photo, sighting, math.atan2(across[1], across[0]))
        middle = view.image.width / 2
        points = []
        for shift_x, shift_y, scale in STARTS:
            x, y = middle + LANDMARK_FACE_PX * shift_x, middle + LANDMARK_FACE_PX * shift_y
            half = LANDMARK_FACE_PX * scale / 2
            box = dlib.rectangle(round(x - half), round(y - half), round(x + half), round(y + half))
            points.append(self._predict(view, box))
        (x, y), half = sighting.centre - 0.5, sighting.width / 2
        return Face(
            (x - half, y - half, x + half, y + half), np.mean(points, axis=0) - 0.5, sighting.score
        )

    def _predict(self, view: _View, box: dlib.rectangle) -> Float64[np.ndarray, "68 2"]:
        """Predict landmarks from one box, in the photo's plane."""
        parts = self._predictor(np.asarray(view.image), box).parts()
        return view.to_photo(np.array([(part.x + 0.5, part.y + 0.5) for part in parts]))


def require_photo(photo: UInt8[np.ndarray, "..."]) -> None:
    """Raise InvalidInputError unless the array is an RGB photo."""
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
        raise InvalidInputError(
            f"photo must be uint8 of shape (height, width, 3), got {photo.dtype} {photo.shape}"
        )


def _best_score(sightings: list[_Sighting]) -> float:
    """Return the highest score; below every threshold if there is none."""
    return max((s.score for s in sightings), default=-math.inf)


def _trusted(sightings: list[_Sighting]) -> list[_Sighting]:
    """Keep the clear ones; where there are none, the sure ones; where there are none, the best.

    Beside a clear face the doubtful ones are mostly folds and shadows, at times larger than it.
    """
    for threshold in (CLEAR_SCORE, SURE_SCORE):
        kept = [s for s in sightings if s.score > threshold]
        if kept:
            return kept
    return sorted(sightings, key=lambda s: s.score)[-1:]


def _scaled(photo: Image.Image, long_side: int) -> _View:
    """Resize to the given long side, with contrast stretched for dark and hazy photos."""
    factor = long_side / max(photo.size)
    size = (max(1, round(photo.width * factor)), max(1, round(photo.height * factor)))
    small = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
    matrix = np.diag([photo.width / size[0], photo.height / size[1]])
    return _View(ImageOps.autocontrast(small, cutoff=1), np.hstack([matrix, np.zeros((2, 1))]))


def _padded(view: _View, fraction: float) -> _View:
    """Mirror the margins of a view outwards."""
    x, y = (round(side * fraction) for side in view.image.size)
    pixels = np.pad(np.asarray(view.image), [(y, y), (x, x)], mode="reflect")
    return _compose(Image.fromarray(pixels), view, np.array([[1.0, 0, -x], [0, 1.0, -y]]))


def _turned(view: _View, degrees: float) -> _View:
    """Turn a view anticlockwise, large enough to hold its corners."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    width, height = view.image.size
    size = (
        math.ceil(abs(width * cos) + abs(height * sin)),
        math.ceil(abs(width * sin) + abs(height * cos)),
    )
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([width, height]) / 2 - turn @ (np.array(size) / 2)
    matrix = np.column_stack([turn, shift])
    return _compose(_warp(view.image, matrix, size), view, matrix)


def _compose(image: Image.Image, view: _View, matrix: Float64[np.ndarray, "2 3"]) -> _View:
    """Make the view whose plane maps to another view's plane by the matrix."""
    return _View(image, view.matrix @ np.vstack([matrix, [0.0, 0.0, 1.0]]))


def _close_up(photo: Image.Image, sighting: _Sighting, roll: float) -> _View:
    """Cut the square of twice a face's width, turned upright, the face 200 px wide in it."""
    scale = sighting.width / LANDMARK_FACE_PX
    side = 2 * LANDMARK_FACE_PX
    turn = scale * np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    shift = sighting.centre - turn @ np.array([side / 2, side / 2])
    reach = sighting.width * math.sqrt(2)
    left, top = np.maximum(sighting.centre - reach, 0).astype(int)
    right, bottom = np.ceil(sighting.centre + reach).astype(int)
    patch = photo.crop((left, top, min(right, photo.width), min(bottom, photo.height)))
    step = max(1, int(scale))
    patch = ImageOps.autocontrast(patch.reduce(step), cutoff=1)
    matrix = np.column_stack([turn, shift - (left, top)]) / step
    return _View(_warp(patch, matrix, (side, side)), np.column_stack([turn, shift]))


def _warp(
    image: Image.Image, matrix: Float64[np.ndarray, "2 3"], size: tuple[int, int]
) -> Image.Image:
    """Sample an image where the matrix sends each output pixel; black outside."""
    return image.transform(
        size, Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BILINEAR
    )
