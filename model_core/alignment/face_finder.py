"""Find the faces in a photo, each with its 68 landmarks.

dlib's frontal face detector (histograms of oriented gradients, windows of 80 px) takes time in
proportion to the pixels it sees: 12 ms for a copy of the photo 400 px long, in which a face of a
fifth of the photo's length fills a window, ten times that for 1280 px. The first look is at the
small copy, and enough for the largest face if it is large and clear. The further look finds all
faces, and looks again more closely if those it sees are near the smallest it can see. Only if no
face is seen does it look in padded and rotated copies.

Landmarks come from the photo's own pixels. Everything reads brightness only: it finds the same
faces in 160 photos as colour does, in three quarters of the time.

Not covered: profiles (both eyes must show); faces of less than a sixteenth of the photo's length
next to larger ones, or of less than 80 px next to a large one; sideways or upside-down faces
next to upright ones.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from model_core.alignment.landmarks import LandmarkReader, tilt_deg
from model_core.alignment.second_glance import SecondGlance
from model_core.alignment.sightings import (
    CLEAR_SCORE,
    SURE_SCORE,
    DetectedFace,
    FaceDetector,
    Sighting,
    best_score,
    by_size,
    suffices,
    trusted,
    united,
)
from model_core.alignment.views import CLOSE_UP_FACE_PX, View, close_up, padded, scaled, turned
from model_core.errors import InvalidInputError

MAX_FACES = 16  # landmarks cost some ms a face: a crowd must not hold up a worker
WINDOW_PX = 80  # of the detector: it misses smaller faces
FOLLOWED_PX = 100  # width at which the detector sees a face again
GLANCE_PX = 400
OVERVIEW_PX = 640
CLOSER_PX = 1280
CLOSEST_PX = 2560
NEAR_SMALLEST = 1.5 * WINDOW_PX  # if faces this small are seen, there may be smaller ones
TILTS_DEG = (60.0, -60.0, 120.0, -120.0, 180.0)  # the detector itself bears 30 degrees either way
PADDING = 0.25  # of each side: a face that fills its photo needs room for the window


@dataclass(frozen=True, slots=True, eq=False)
class FirstLook:
    """What a small copy of a photo shows.

    Attributes:
        seen: All detections.
        largest: The largest readable face; None if no face is large and clear enough to skip a
            closer look, or none is readable.
        unread: Trusted detections after it in size, not yet read.
    """

    seen: list[Sighting]
    largest: DetectedFace | None
    unread: list[Sighting]


class FaceFinder:
    """Finds faces; one instance serves any number of threads."""

    def __init__(
        self, landmark_model: Path, second_glance: Path | None = None, at_once: int = 1
    ) -> None:
        """Load dlib's 68-point predictor and, if its file is given, the second detector.

        Args:
            landmark_model: dlib's file.
            second_glance: The second detector's file.
            at_once: Looks at photos to be prepared for, and the most closer looks that
                `start_closer_look` runs at a time.

        Raises:
            CheckpointError: If a file is missing or of another kind.
        """
        self._second = SecondGlance(second_glance) if second_glance else None
        self._detector = FaceDetector(at_once)
        self._landmarks = LandmarkReader(landmark_model, self._detector)
        self._looks = ThreadPoolExecutor(at_once, "closer-look")  # starts threads on demand

    def find(self, photo: UInt8[np.ndarray, "h w 3"]) -> list[DetectedFace]:
        """Return all faces of an RGB photo, the largest first, at most 16.

        Raises:
            InvalidInputError: If the photo is not (height, width, 3) in uint8, or is empty.
        """
        return self.find_in(brightness(photo))

    def find_in(self, grey: Image.Image) -> list[DetectedFace]:
        """Do the same from the photo's `brightness`, which takes a third of its memory."""
        return self.find_further(grey, self.first_look(grey))

    def first_look(self, grey: Image.Image) -> FirstLook:
        """Look at a small copy of a photo, given its `brightness`, for its largest face."""
        seen = self._detector.detect(scaled(grey, GLANCE_PX))
        unread = by_size(trusted(seen))[:MAX_FACES] if suffices(seen, grey) else []
        largest = None
        while unread and largest is None:
            largest = self._landmarks.read(grey, unread.pop(0))
        return FirstLook(seen, largest, unread)

    def start_closer_look(self, grey: Image.Image) -> Future[list[Sighting]]:
        """Start the closer look for further faces in another thread."""
        return self._looks.submit(self._look_closer, grey)

    def find_further(
        self, grey: Image.Image, first: FirstLook, closer: Future[list[Sighting]] | None = None
    ) -> list[DetectedFace]:
        """Return all faces, the largest first, at most 16, after a first look at the photo.

        Args:
            grey: The photo's `brightness`.
            first: The first look.
            closer: From `start_closer_look`, if that was called.
        """
        faces = [first.largest] if first.largest else []
        faces += self._faces(grey, first.unread)
        seen = self._look(grey, first.seen, closer)
        clear = [s for s in seen if s.score > CLEAR_SCORE]
        others = [s for s in clear if not any(s.shows(face) for face in faces)]
        faces += self._faces(grey, others)
        if not faces:
            faces = self._faces(grey, self._look_further(grey, seen))
        if not faces and self._second is not None:
            glimpses = self._second.look(grey)[:MAX_FACES]
            found = [self._landmarks.read_glimpse(grey, each) for each in glimpses]
            faces = [face for face in found if face is not None]
            faces.sort(key=lambda face: face.width, reverse=True)
        # The first look's face stays first, even if a closer look measures another as larger.
        return faces[:1] + sorted(faces[1:MAX_FACES], key=lambda face: face.width, reverse=True)

    def glance(self, grey: Image.Image) -> list[DetectedFace]:
        """Return the large and clear faces, the largest first, after a quick look at a small copy.

        Args:
            grey: The photo's `brightness`.
        """
        seen = self._detector.detect(scaled(grey, GLANCE_PX))
        return self._faces(grey, [s for s in seen if s.score > CLEAR_SCORE])

    def follow(self, grey: Image.Image, face: DetectedFace) -> DetectedFace | None:
        """Find a face of a film's last frame in the next one; None if it is not near its old place.

        Args:
            grey: The next frame's `brightness`.
            face: The face in the last frame.
        """
        around = around_face(grey, face)
        near = [s for s in self._detector.detect(around) if s.shows(face)]
        found = [self._landmarks.read(grey, s) for s in near]
        faces = [each for each in found if each is not None]
        return max(faces, key=lambda each: each.score, default=None)

    def _faces(self, photo: Image.Image, sightings: list[Sighting]) -> list[DetectedFace]:
        """Return the faces of sightings, the largest first, without false detections."""
        faces = [self._landmarks.read(photo, s) for s in by_size(sightings)[:MAX_FACES]]
        return [face for face in faces if face is not None]

    def _look_closer(self, photo: Image.Image) -> list[Sighting]:
        """Look at a copy 640 to 1280 px long, enlarged only if the photo is shorter than 640."""
        return self._detector.detect(scaled(photo, _closer_px(photo)))

    def _look(
        self, photo: Image.Image, glance: list[Sighting], closer: Future[list[Sighting]] | None
    ) -> list[Sighting]:
        """Look for further faces of at least a sixteenth of the photo's length."""
        long_side = max(photo.size)
        seen = glance
        if not suffices(glance, photo):
            seen = self._detector.detect(scaled(photo, OVERVIEW_PX))
        # Next to a large face, faces smaller than the window at full resolution do not count.
        enlarge = not suffices(seen, photo)
        closer_px = CLOSER_PX if enlarge else _closer_px(photo)
        if closer_px == _closer_px(photo):
            closely = closer.result() if closer else self._look_closer(photo)
        else:
            if closer:
                closer.cancel()
            closely = self._detector.detect(scaled(photo, closer_px))
        seen = united(closely, seen)
        near = NEAR_SMALLEST * long_side / closer_px
        if long_side > closer_px and any(s.width < near for s in seen if s.score > CLEAR_SCORE):
            closest = self._detector.detect(scaled(photo, min(CLOSEST_PX, long_side)))
            seen = united(seen, [s for s in closest if s.score > CLEAR_SCORE])
        return seen

    def _look_further(self, photo: Image.Image, seen: list[Sighting]) -> list[Sighting]:
        """Look in padded, rotated and large copies for a face that no other copy shows clearly."""
        overview = scaled(photo, OVERVIEW_PX)
        in_padded = self._detector.detect(padded(overview, PADDING))
        attempts = [
            [s for s in seen if s.score <= CLEAR_SCORE],  # a clear one has turned out to be no face
            [s for s in in_padded if s.lies_in(photo.size)],  # not half a face and its mirror image
            *(self._detector.detect(turned(overview, tilt_deg)) for tilt_deg in TILTS_DEG),
        ]
        best = max(attempts, key=best_score)
        if best_score(best) <= CLEAR_SCORE and max(photo.size) > CLOSER_PX:
            closest = self._detector.detect(scaled(photo, CLOSEST_PX))
            best = max(best, [s for s in closest if s.score > SURE_SCORE], key=best_score)
        return trusted(best)


def _closer_px(photo: Image.Image) -> int:
    return max(OVERVIEW_PX, min(CLOSER_PX, max(photo.size)))


def around_face(grey: Image.Image, face: DetectedFace) -> View:
    """Crop twice a face's width, upright, the face slightly wider than the detector's window."""
    left, top, right, bottom = face.box
    centre = np.array([left + right, top + bottom]) / 2 + 0.5  # from pixel centres to the plane
    view = close_up(grey, centre, face.width, math.radians(tilt_deg(face.landmarks)))
    small = view.image.reduce(CLOSE_UP_FACE_PX // FOLLOWED_PX)
    matrix = view.matrix.copy()
    matrix[:, :2] *= CLOSE_UP_FACE_PX // FOLLOWED_PX
    return View(small, matrix)


def brightness(photo: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    """Return the image in which faces are found.

    Raises:
        InvalidInputError: If the photo is not (height, width, 3) in uint8, or is empty.
    """
    require_photo(photo)
    return Image.fromarray(photo).convert("L")


def require_photo(photo: UInt8[np.ndarray, "..."]) -> None:
    """Raise InvalidInputError unless the array is an RGB photo."""
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
        raise InvalidInputError(
            f"photo must be uint8 of shape (height, width, 3), got {photo.dtype} {photo.shape}"
        )
