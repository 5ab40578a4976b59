"""Crop a face from a photo as FFHQ's authors did, and keep the mapping back.

A generator trained on FFHQ only knows faces in FFHQ's frame: eyes level, at a fixed height and
distance, with the area outside the photo filled with blurred reflection. Codes are only good for
photos cropped the same way.

Source: Karras et al. 2019, appendix A, and the recipe published with the FFHQ data set (facts
read, code our own). The recipe transforms at four times 1024 px; here the photo is first shrunk
to about the sampling density that the requested size needs, and never sampled more finely.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, UInt8
from PIL import Image, ImageFilter

from model_core.alignment.face_finder import FaceFinder, brightness, require_photo
from model_core.alignment.face_search import FaceSearch
from model_core.alignment.sightings import DetectedFace
from model_core.errors import InvalidInputError
from model_core.photos.resize import resize_square

__all__ = [
    "AlignedFace",
    "DetectedFace",
    "FaceAligner",
    "brightness",
    "crop_quad",
    "ffhq_quad",
]

MAX_SIZE_PX = 1024
OVERSAMPLING = 2  # transform at up to this many times the size, up to WORK_PX
WORK_PX = 1024


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFace:
    """A face in FFHQ's frame.

    Attributes:
        image: RGB.
        face: The face that was cropped.
        quad: The crop's corners in photo pixels (pixel centres at whole numbers), in the order
            top left, bottom left, bottom right, top right.
    """

    image: UInt8[np.ndarray, "size size 3"]
    face: DetectedFace
    quad: Float64[np.ndarray, "4 2"]

    def to_photo(self) -> Float64[np.ndarray, "3 3"]:
        """Return the matrix from crop to photo pixels (x, y, 1), centres at whole numbers."""
        size = self.image.shape[0]
        origin = self.quad[0]
        down, across = self.quad[1] - origin, self.quad[3] - origin
        matrix = np.eye(3)
        matrix[:2, 0] = across / size
        matrix[:2, 1] = down / size
        # The crop's corner is half a crop pixel before the centre of its first pixel.
        matrix[:2, 2] = origin + (across + down) / (2 * size)
        return matrix


class FaceAligner:
    """Finds and crops faces; one instance serves any number of threads."""

    def __init__(
        self, landmark_model: Path, second_glance: Path | None = None, at_once: int = 1
    ) -> None:
        """Load dlib's 68-point predictor and, if its file is given, the second detector.

        Args:
            landmark_model: dlib's file.
            second_glance: The second detector's file.
            at_once: Looks at photos to be prepared for: two for each search for all faces.

        Raises:
            CheckpointError: If a file is missing or of another kind.
        """
        self._finder = FaceFinder(landmark_model, second_glance, at_once)

    def search(self, photo: UInt8[np.ndarray, "h w 3"], all_faces: bool = False) -> FaceSearch:
        """Prepare a search for the faces in an RGB photo.

        Args:
            photo: The photo.
            all_faces: Whether all will be wanted, so that the search for them may start at once.

        Raises:
            InvalidInputError: If the photo is not (height, width, 3) in uint8, or is empty.
        """
        return FaceSearch(self._finder, brightness(photo), all_faces)

    def find_in(self, grey: Image.Image) -> list[DetectedFace]:
        """Return all faces, the largest first, at most 16, given a photo's `brightness`."""
        return self._finder.find_in(grey)

    def glance(self, grey: Image.Image) -> list[DetectedFace]:
        """Return the large and clear faces, the largest first, given a photo's `brightness`."""
        return self._finder.glance(grey)

    def follow(self, grey: Image.Image, face: DetectedFace) -> DetectedFace | None:
        """Find a face of a film's last frame in the next one, given its `brightness`."""
        return self._finder.follow(grey, face)

    def align(
        self, photo: UInt8[np.ndarray, "h w 3"], face: DetectedFace, size: int = 256
    ) -> AlignedFace:
        """Crop one face of a photo at a size of 1 to 1024 px.

        Raises:
            InvalidInputError: If the photo is invalid, the size is out of range, or the face lies
                outside the photo.
        """
        quad = ffhq_quad(face.landmarks)
        return AlignedFace(crop_quad(photo, quad, size), face, quad)

    def crop(
        self, photo: UInt8[np.ndarray, "h w 3"], index: int = 0, size: int = 256
    ) -> AlignedFace:
        """Find the faces in a photo and crop the one with the given rank (0 is the largest).

        Raises:
            NoFaceError: If the photo shows none.
            InvalidInputError: If there are fewer faces, or as for `align`.
        """
        return self.align(photo, self.search(photo).choose(index), size)


def ffhq_quad(landmarks: Float64[np.ndarray, "68 2"]) -> Float64[np.ndarray, "4 2"]:
    """Return the corners of FFHQ's square: top left, bottom left, bottom right, top right.

    Its horizontal is the mean of the line between the eyes and the normal of the line from eyes
    to mouth; half its side is the larger of 2.0 eye distances and 1.8 eye-to-mouth distances.
    """
    eyes = np.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0)])
    mouth = (landmarks[48] + landmarks[54]) / 2
    middle = eyes.mean(0)
    between_eyes, to_mouth = eyes[1] - eyes[0], mouth - middle
    x = between_eyes + np.array([to_mouth[1], -to_mouth[0]])
    x *= max(np.linalg.norm(between_eyes) * 2.0, np.linalg.norm(to_mouth) * 1.8) / np.linalg.norm(x)
    y = np.array([-x[1], x[0]])
    centre = middle + to_mouth * 0.1
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def crop_quad(
    photo: UInt8[np.ndarray, "h w 3"], quad: Float64[np.ndarray, "4 2"], size: int = 256
) -> UInt8[np.ndarray, "size size 3"]:
    """Crop FFHQ's square at a size of 1 to 1024 px, given its corners.

    Raises:
        InvalidInputError: If the photo is invalid, the size is out of range, or the square lies
            outside the photo.
    """
    require_photo(photo)
    if not 1 <= size <= MAX_SIZE_PX:
        raise InvalidInputError(f"size must be 1 to {MAX_SIZE_PX}, got {size}")
    corners = quad + 0.5  # from pixel centres to pixel corners, as Pillow counts
    side = float(np.linalg.norm(quad[3] - quad[0]))
    border = max(round(side * 0.1), 3)
    height, width = photo.shape[:2]
    left, top = np.maximum(np.floor(quad.min(0)).astype(int) - border, 0)
    right, bottom = np.minimum(np.ceil(quad.max(0)).astype(int) + border, (width, height))
    if left >= right or top >= bottom:
        raise InvalidInputError(f"face must lie in the photo, got corners {quad.tolist()}")
    patch = Image.fromarray(photo[top:bottom, left:right])
    corners -= (left, top)
    finest = max(size, min(OVERSAMPLING * size, WORK_PX))
    step = max(1, int(side / finest))
    work = min(finest, max(size, math.ceil(side / step)))  # finer than the photo adds nothing
    patch, corners = _extend(patch.reduce(step), corners / step, side / step)
    crop = patch.transform(
        (work, work), Image.Transform.QUAD, tuple(corners.ravel()), Image.Resampling.BILINEAR
    )
    return resize_square(crop, size)


def _extend(
    patch: Image.Image, corners: Float64[np.ndarray, "4 2"], side: float
) -> tuple[Image.Image, Float64[np.ndarray, "4 2"]]:
    """Extend a patch to hold the square by reflection, increasingly blurred outwards."""
    border = max(round(side * 0.1), 3)
    low = np.floor(corners.min(0) - 0.5)
    high = np.ceil(corners.max(0) - 0.5)
    missing = np.concatenate([-low, high - patch.size]) + border
    if missing.max() <= border - 4:
        return patch, corners
    left, top, right, bottom = np.maximum(missing, round(side * 0.3)).astype(int)
    pixels = np.pad(np.asarray(patch), [(top, bottom), (left, right), (0, 0)], mode="reflect")
    height, width = pixels.shape[:2]
    # How far out a pixel is: 0 at the photo's edge, 1 at the end of the padding, below 0 inside.
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    out_x = 1 - np.minimum(x / left, (width - 1 - x) / right)
    out_y = 1 - np.minimum(y / top, (height - 1 - y) / bottom)
    out = np.maximum(out_x[None, :], out_y[:, None])
    image = Image.fromarray(pixels)
    sigma = side * 0.02
    step = max(1, int(sigma / 2.5))  # a blur this wide loses nothing at a fraction of the size
    blurred = image.reduce(step).filter(ImageFilter.GaussianBlur(sigma / step))
    whole = (0, 0, width / step, height / step)  # reduce rounds up
    blurred = blurred.resize(image.size, Image.Resampling.BILINEAR, whole)
    image.paste(blurred, mask=_mask(out * 3 + 1))
    median = np.median(np.asarray(image)[::4, ::4], axis=(0, 1))
    image.paste(tuple(int(channel) for channel in median), (0, 0, width, height), _mask(out))
    return image, corners + np.array([left, top])


def _mask(opacity: Float[np.ndarray, "h w"]) -> Image.Image:
    """Make Pillow's mask from an opacity of 0 to 1; values beyond are clipped."""
    return Image.fromarray((opacity.clip(0, 1) * 255 + 0.5).astype(np.uint8))
