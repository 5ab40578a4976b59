"""Find the faces in a photo, each with its 68 landmarks.

dlib's frontal face detector (histograms of oriented gradients, windows of 80 px) takes time in
proportion to the pixels it sees: 12 ms for a copy of the photo 400 px long, in which a face of a
fifth of the photo's length fills a window, ten times that for 1280 px. `find_largest` stops after
the first if that shows a large and clear face. `find` looks for all faces, and looks again more
closely if those it sees are near the smallest it can see. Only if no face is seen
does either look in padded and rotated copies.

The landmark predictor was trained on upright faces; on a tilted one it is just as sure, and wrong.
So landmarks are predicted in a copy rotated upright by the previous prediction, until the line
between the eyes is level there. Five predictions from shifted boxes agree when they are right, and
the detector confirms an upright face: what fails these tests at every angle is not taken for one.

Landmarks come from the photo's own pixels. Everything reads brightness only: it finds the same
faces in 160 photos as colour does, in three quarters of the time.

Not covered: profiles (both eyes must show); faces of less than a sixteenth of the photo's length
next to larger ones, or of less than 80 px next to a large one; sideways or upside-down faces
next to upright ones.
"""

import math
import threading
from dataclasses import dataclass
from pathlib import Path

import dlib
import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image, ImageOps

from model_core.alignment.second_glance import Glimpse, SecondGlance
from model_core.errors import CheckpointError, InvalidInputError

MAX_FACES = 16  # landmarks cost some ms a face: a crowd must not hold up a worker
WINDOW_PX = 80  # of the detector: it misses smaller faces
GLANCE_PX = 400
OVERVIEW_PX = 640
CLOSER_PX = 1280
CLOSEST_PX = 2560
SMALL_FACE = 0.16  # of the long side: next to such a face others may be too small to be seen
NEAR_SMALLEST = 1.5 * WINDOW_PX  # if faces this small are seen, there may be smaller ones
CLEAR_SCORE = 0.4  # 152 of 160 faces exceed it; other things and sideways faces hardly ever do
SURE_SCORE = 0.0  # dlib's own threshold
WEAK_SCORE = -0.25  # 1 false alarm in 160 photos whose faces were masked out
TILTS_DEG = (60.0, -60.0, 120.0, -120.0, 180.0)  # the detector itself bears 30 degrees either way
PADDING = 0.25  # of each side: a face that fills its photo needs room for the window
LANDMARK_FACE_PX = 200
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
class _View:
    """A grey copy of a photo and the affine map from its plane to the photo's (corner at 0, 0)."""

    image: Image.Image
    matrix: Float64[np.ndarray, "2 3"]

    def to_photo(self, points: Float64[np.ndarray, "n 2"]) -> Float64[np.ndarray, "n 2"]:
        """Map points of this view to the photo."""
        # Row vectors: p A' + t for each.
        mapped: Float64[np.ndarray, "n 2"] = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return mapped

    @property
    def roll_deg(self) -> float:
        """How far the view's horizontal is rotated clockwise in the photo."""
        return math.degrees(math.atan2(self.matrix[1, 0], self.matrix[0, 0]))

    @property
    def scale(self) -> float:
        """Photo pixels per pixel of this view."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix[:, :2]))))


@dataclass(frozen=True, slots=True, eq=False)
class _Sighting:
    """A detection: a square in a view."""

    view: _View
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

    def shows_same(self, other: "_Sighting") -> bool:
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


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
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
        return abs(_turn_deg(_roll_deg(self.points) - self.roll_deg)) <= LEVEL_DEG

    @property
    def is_reliable(self) -> bool:
        """Whether nothing but the detector could still contradict the landmarks."""
        return self.is_level and self.spread <= MAX_SPREAD


class FaceFinder:
    """Finds faces; one instance serves any number of threads."""

    def __init__(self, landmark_model: Path, second_glance: Path | None = None) -> None:
        """Load dlib's 68-point predictor and, if its file is given, the second detector.

        Raises:
            CheckpointError: If a file is missing or of another kind.
        """
        self._second = SecondGlance(second_glance) if second_glance else None
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

    def find(self, photo: UInt8[np.ndarray, "h w 3"]) -> list[DetectedFace]:
        """Return all faces of an RGB photo, the largest first, at most 16.

        Raises:
            InvalidInputError: If the photo is not (height, width, 3) in uint8, or is empty.
        """
        require_photo(photo)
        return self.find_in(brightness(photo))

    def find_in(self, grey: Image.Image) -> list[DetectedFace]:
        """Do the same from the photo's `brightness`, which takes a third of its memory."""
        glance = self._detect(_scaled(grey, GLANCE_PX))
        faces = self._faces(grey, _trusted(glance)) if _suffices(glance, grey) else []
        seen = self._look(grey, glance)
        clear = [s for s in seen if s.score > CLEAR_SCORE]
        others = [s for s in clear if not any(s.shows(face) for face in faces)]
        faces += self._faces(grey, others)
        if not faces:
            faces = self._faces(grey, self._look_further(grey, seen))
        if not faces and self._second is not None:
            glimpses = self._second.look(grey)[:MAX_FACES]
            found = [self._face_of(grey, each) for each in glimpses]
            faces = [face for face in found if face is not None]
            faces.sort(key=lambda face: face.width, reverse=True)
        # What `find_largest` returns also comes first here, whatever a closer look measures.
        return faces[:1] + sorted(faces[1:MAX_FACES], key=lambda face: face.width, reverse=True)

    def find_largest(self, photo: UInt8[np.ndarray, "h w 3"]) -> DetectedFace | None:
        """Return the first face of `find`, in a tenth of the time if it is large and clear.

        Raises:
            InvalidInputError: As for `find`.
        """
        require_photo(photo)
        grey = brightness(photo)
        glance = self._detect(_scaled(grey, GLANCE_PX))
        if _suffices(glance, grey):
            for sighting in _by_size(_trusted(glance)):
                if face := self._face(grey, sighting):
                    return face
        return next(iter(self.find_in(grey)), None)

    def _faces(self, photo: Image.Image, sightings: list[_Sighting]) -> list[DetectedFace]:
        """Return the faces of sightings, the largest first, without false detections."""
        faces = [self._face(photo, s) for s in _by_size(sightings)[:MAX_FACES]]
        return [face for face in faces if face is not None]

    def _look(self, photo: Image.Image, glance: list[_Sighting]) -> list[_Sighting]:
        """Look for further faces of at least a sixteenth of the photo's length."""
        long_side = max(photo.size)
        seen = glance
        if not _suffices(glance, photo):
            seen = self._detect(_scaled(photo, OVERVIEW_PX))
        # Next to a large face, faces smaller than the window at full resolution do not count.
        enlarge = not _suffices(seen, photo)
        closer_px = CLOSER_PX if enlarge else max(OVERVIEW_PX, min(CLOSER_PX, long_side))
        seen = _united(self._detect(_scaled(photo, closer_px)), seen)
        near = NEAR_SMALLEST * long_side / closer_px
        if long_side > closer_px and any(s.width < near for s in seen if s.score > CLEAR_SCORE):
            closest = self._detect(_scaled(photo, min(CLOSEST_PX, long_side)))
            seen = _united(seen, [s for s in closest if s.score > CLEAR_SCORE])
        return seen

    def _look_further(self, photo: Image.Image, seen: list[_Sighting]) -> list[_Sighting]:
        """Look in padded, rotated and large copies for a face that no other copy shows clearly."""
        overview = _scaled(photo, OVERVIEW_PX)
        padded = self._detect(_padded(overview, PADDING))
        attempts = [
            [s for s in seen if s.score <= CLEAR_SCORE],  # a clear one has turned out to be no face
            [s for s in padded if s.lies_in(photo.size)],  # not half a face and its mirror image
            *(self._detect(_turned(overview, tilt_deg)) for tilt_deg in TILTS_DEG),
        ]
        best = max(attempts, key=_best_score)
        if _best_score(best) <= CLEAR_SCORE and max(photo.size) > CLOSER_PX:
            closest = self._detect(_scaled(photo, CLOSEST_PX))
            best = max(best, [s for s in closest if s.score > SURE_SCORE], key=_best_score)
        return _trusted(best)

    def _detect(self, view: _View) -> list[_Sighting]:
        boxes, scores, _ = self._detector().run(np.asarray(view.image), 0, WEAK_SCORE)
        return [_Sighting(view, box, score) for box, score in zip(boxes, scores, strict=True)]

    def _detector(self) -> dlib.fhog_object_detector:
        """Return this thread's detector; dlib's detectors must not be shared."""
        if not hasattr(self._thread, "detector"):
            self._thread.detector = dlib.get_frontal_face_detector()
        return self._thread.detector

    def _face(self, photo: Image.Image, sighting: _Sighting) -> DetectedFace | None:
        """Return the face of a sighting; None if there is none with trustworthy landmarks.

        Landmarks are first predicted in the sighting's view, then in upright and sharper ones.
        """
        given_deg = sighting.view.roll_deg
        shape = self._level(photo, sighting, _roll_deg(self._predict(sighting.view, sighting.box)))
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

    def _face_of(self, photo: Image.Image, glimpse: Glimpse) -> DetectedFace | None:
        """Return the face of a glimpse; None if the landmarks are not where it has seen them."""
        across = glimpse.points[1] - glimpse.points[0]
        roll_deg = math.degrees(math.atan2(across[1], across[0]))
        half = glimpse.width / 2
        left, top = (glimpse.centre - half).round().astype(int).tolist()
        right, bottom = (glimpse.centre + half).round().astype(int).tolist()
        whole = _View(photo, np.eye(2, 3))
        box = dlib.rectangle(left, top, right - 1, bottom - 1)
        shape = self._level(photo, _Sighting(whole, box, 0.0), roll_deg)
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

    def _level(self, photo: Image.Image, sighting: _Sighting, roll_deg: float) -> _Shape:
        """Predict landmarks in close-ups, rotating them until the eyes are level."""
        for _ in range(LEVEL_TRIES):
            shape = self._shape(photo, sighting, roll_deg)
            roll_deg = _roll_deg(shape.points)
            if shape.is_level:
                break
        return shape

    def _shape(self, photo: Image.Image, sighting: _Sighting, roll_deg: float) -> _Shape:
        """Predict landmarks from five boxes in a close-up."""
        view = _close_up(photo, sighting, math.radians(roll_deg))
        middle = view.image.width / 2
        starts = []
        for shift_x, shift_y, scale in STARTS:
            x, y = middle + LANDMARK_FACE_PX * shift_x, middle + LANDMARK_FACE_PX * shift_y
            half = LANDMARK_FACE_PX * scale / 2
            box = dlib.rectangle(round(x - half), round(y - half), round(x + half), round(y + half))
            starts.append(self._predict(view, box))
        # (5, 68, 2) -> (68, 2); how far the five are from it tells whether to trust it.
        points: Float64[np.ndarray, "68 2"] = np.mean(starts, axis=0)
        spread = float(np.linalg.norm(starts - points, axis=2).mean()) / sighting.width
        return _Shape(points, roll_deg, spread)

    def _score(self, photo: Image.Image, sighting: _Sighting, roll_deg: float) -> float:
        """Return the detector's score for an upright face in the middle of a close-up."""
        view = _close_up(photo, sighting, math.radians(roll_deg))
        small = view.image.reduce(LANDMARK_FACE_PX // SCORE_FACE_PX)
        boxes, scores, _ = self._detector().run(np.asarray(small), 0, LEAST_SCORE)
        middle, reach = small.width / 2, SCORE_FACE_PX / 3
        return max(
            (
                score
                for box, score in zip(boxes, scores, strict=True)
                if max(abs(box.dcenter().x - middle), abs(box.dcenter().y - middle)) < reach
            ),
            default=-math.inf,
        )

    def _predict(self, view: _View, box: dlib.rectangle) -> Float64[np.ndarray, "68 2"]:
        """Predict landmarks from one box, in the photo's plane."""
        parts = self._predictor(np.asarray(view.image), box).parts()
        return view.to_photo(np.array([(part.x + 0.5, part.y + 0.5) for part in parts]))


def brightness(photo: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    """Return the image in which faces are found."""
    return Image.fromarray(photo).convert("L")


def require_photo(photo: UInt8[np.ndarray, "..."]) -> None:
    """Raise InvalidInputError unless the array is an RGB photo."""
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
        raise InvalidInputError(
            f"photo must be uint8 of shape (height, width, 3), got {photo.dtype} {photo.shape}"
        )


def _roll_deg(landmarks: Float64[np.ndarray, "68 2"]) -> float:
    """Return how far the line between the eyes is rotated clockwise."""
    x, y = landmarks[LEFT_EYE].mean(0) - landmarks[RIGHT_EYE].mean(0)
    return math.degrees(math.atan2(y, x))


def _turn_deg(angle_deg: float) -> float:
    """Return the same angle in -180 to 180."""
    return (angle_deg + 180) % 360 - 180


def _by_size(sightings: list[_Sighting]) -> list[_Sighting]:
    return sorted(sightings, key=lambda s: s.width, reverse=True)


def _suffices(seen: list[_Sighting], photo: Image.Image) -> bool:
    """Whether one of the faces is large and clear enough."""
    large = SMALL_FACE * max(photo.size)
    return any(s.score > CLEAR_SCORE and s.width >= large for s in seen)


def _united(first: list[_Sighting], second: list[_Sighting]) -> list[_Sighting]:
    """Add to sightings those of the second that show none of the same faces."""
    return first + [s for s in second if not any(s.shows_same(other) for other in first)]


def _best_score(sightings: list[_Sighting]) -> float:
    """Return the highest score; below every threshold if there is none."""
    return max((s.score for s in sightings), default=-math.inf)


def _trusted(sightings: list[_Sighting]) -> list[_Sighting]:
    """Keep the clear ones; without any, the sure ones; without any, the best.

    Next to a clear face, doubtful ones are mostly folds and shadows, sometimes larger than it.
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
    """Pad a view by mirroring its margins outwards."""
    x, y = (round(side * fraction) for side in view.image.size)
    pixels = np.pad(np.asarray(view.image), [(y, y), (x, x)], mode="reflect")
    return _compose(Image.fromarray(pixels), view, np.array([[1.0, 0, -x], [0, 1.0, -y]]))


def _turned(view: _View, degrees: float) -> _View:
    """Rotate a view anticlockwise, large enough to hold its corners."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    width, height = view.image.size
    size = (
        math.ceil(abs(width * cos) + abs(height * sin)),
        math.ceil(abs(width * sin) + abs(height * cos)),
    )
    # From the new view's plane to the old one's; their centres coincide.
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([width, height]) / 2 - turn @ (np.array(size) / 2)
    matrix = np.column_stack([turn, shift])
    return _compose(_warp(view.image, matrix, size), view, matrix)


def _compose(image: Image.Image, view: _View, matrix: Float64[np.ndarray, "2 3"]) -> _View:
    """Make the view whose plane maps to another view's plane by the matrix."""
    # (2, 3) @ (3, 3): the second map is applied first, on homogeneous points.
    return _View(image, view.matrix @ np.vstack([matrix, [0.0, 0.0, 1.0]]))


def _close_up(photo: Image.Image, sighting: _Sighting, roll: float) -> _View:
    """Crop a square of twice the face's width, rotated upright, with the face 200 px wide."""
    scale = sighting.width / LANDMARK_FACE_PX
    side = 2 * LANDMARK_FACE_PX
    # Close-up's plane to the photo's: turned by roll, scaled, the face's middle in its middle.
    turn = scale * np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    shift = sighting.centre - turn @ np.array([side / 2, side / 2])
    reach = sighting.width * math.sqrt(2)  # half the square's diagonal, as it may be rotated
    left, top = np.maximum(sighting.centre - reach, 0).astype(int)
    right, bottom = np.ceil(sighting.centre + reach).astype(int)
    patch = photo.crop((left, top, min(right, photo.width), min(bottom, photo.height)))
    step = max(1, int(scale))  # average whole pixels first, or sampling would skip some
    patch = ImageOps.autocontrast(patch.reduce(step), cutoff=1)
    # The same map to the patch: its corner is the origin, its pixels are `step` wide.
    matrix = np.column_stack([turn, shift - (left, top)]) / step
    return _View(_warp(patch, matrix, (side, side)), np.column_stack([turn, shift]))


def _warp(
    image: Image.Image, matrix: Float64[np.ndarray, "2 3"], size: tuple[int, int]
) -> Image.Image:
    """Sample an image where the matrix sends each output pixel; black outside."""
    return image.transform(
        size, Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BILINEAR
    )
