"""See who is where in each frame: faces, their landmarks, and now and then a descriptor.

A look at the whole frame finds everybody; in between, faces are followed from frame to frame near
their last place, which takes a tenth of the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from model_core.alignment.ffhq import DetectedFace, FaceAligner, brightness, crop_quad, ffhq_quad
from model_core.images import FACE_PX
from model_core.predictor import Predictor
from model_core.shapes import Pixels

LOOK_EVERY = 12
"""Frames between two looks at the whole frame."""

MOST_FACES = 4
"""Faces that are followed: the largest."""

SMALLEST_PX = 24.0
"""Narrower faces are not followed: their crop would show nothing."""

THUMBNAIL = (32, 18)
CUT_BYTES = 10.0
"""Mean difference of two frames' thumbnails from which the picture may have been cut."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """A face in a frame.

    Attributes:
        box: Left, top, right, bottom in upright pixels.
        landmarks: 68 points.
        score: The detector's.
        descriptor: Who it is, normalised; None in most frames.
    """

    box: tuple[float, float, float, float]
    landmarks: Float64[np.ndarray, "68 2"]
    score: float
    descriptor: Float32[np.ndarray, "features"] | None = None

    @property
    def width(self) -> float:
        """The box's width."""
        return self.box[2] - self.box[0]

    @property
    def detected(self) -> DetectedFace:
        """The face as the aligner knows it."""
        return DetectedFace(self.box, self.landmarks, self.score)


@dataclass(frozen=True, slots=True, eq=False)
class SeenFrame:
    """What a frame shows.

    Attributes:
        pts: When it is shown, in the film's time base.
        change: Mean difference from the frame before, in bytes.
        faces: The faces, the largest first.
        thumbnail: The frame, tiny and grey.
    """

    pts: int
    change: float
    faces: list[SeenFace] = field(default_factory=list)
    thumbnail: Float32[np.ndarray, "18 32"] | None = None

    @property
    def may_be_cut(self) -> bool:
        """Whether the picture may have been cut before this frame."""
        return self.change >= CUT_BYTES


class Observer:
    """Sees frame after frame.

    Args:
        predictor: Describes faces.
        aligner: Finds them.
    """

    def __init__(self, predictor: Predictor, aligner: FaceAligner):
        self._predictor, self._aligner = predictor, aligner

    def see(self, index: int, pts: int, pixels: Pixels, last: SeenFrame | None) -> SeenFrame:
        """See a frame.

        Args:
            index: Its number, which decides whether all of it is looked at.
            pts: When it is shown.
            pixels: The frame.
            last: The frame before; None for the first one.
        """
        grey = brightness(pixels)
        small = cv2.resize(np.asarray(grey), THUMBNAIL, interpolation=cv2.INTER_AREA)
        thumbnail = small.astype(np.float32)
        change = 0.0
        if last is not None and last.thumbnail is not None:
            change = float(np.abs(thumbnail - last.thumbnail).mean())
        seen = SeenFrame(pts, change, thumbnail=thumbnail)
        followed: list[DetectedFace] = []
        if last is not None and not seen.may_be_cut:
            again = [self._aligner.follow(grey, face.detected) for face in last.faces]
            followed = [face for face in again if face is not None]
        found, are_new = followed, True
        if last is None or seen.may_be_cut or index % LOOK_EVERY == 0:
            # A face that has turned away a little can still be followed, but no longer found.
            found = self._aligner.find_in(grey) + followed
        elif not last.faces:
            found = self._aligner.glance(grey)
        else:
            are_new = False
        found = _distinct(found)
        found = [face for face in found if face.width >= SMALLEST_PX][:MOST_FACES]
        descriptors = self._describe(pixels, found) if are_new else [None] * len(found)
        seen.faces.extend(
            SeenFace(face.box, face.landmarks, face.score, descriptor)
            for face, descriptor in zip(found, descriptors, strict=True)
        )
        return seen

    def _describe(
        self, pixels: Pixels, faces: Sequence[DetectedFace]
    ) -> list[Float32[np.ndarray, "features"]]:
        if not faces:
            return []
        crops = np.stack([crop_quad(pixels, ffhq_quad(each.landmarks), FACE_PX) for each in faces])
        return list(self._predictor.describe(crops).numpy())


def _distinct(faces: list[DetectedFace]) -> list[DetectedFace]:
    """Keep the first of those that are in the same place."""
    kept: list[DetectedFace] = []
    for face in faces:
        if not any(overlap(face.box, other.box) > 0.5 for other in kept):
            kept.append(face)
    return kept


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection of two boxes over their union."""
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return across * down / (areas - across * down)
