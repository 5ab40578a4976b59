"""Grey copies of a photo, scaled, padded, rotated or cropped, each with its map to the photo."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from PIL import Image, ImageOps

CLOSE_UP_FACE_PX = 200


@dataclass(frozen=True, slots=True, eq=False)
class View:
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


def scaled(photo: Image.Image, long_side: int) -> View:
    """Resize to the given long side, with contrast stretched for dark and hazy photos."""
    factor = long_side / max(photo.size)
    size = (max(1, round(photo.width * factor)), max(1, round(photo.height * factor)))
    small = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
    matrix = np.diag([photo.width / size[0], photo.height / size[1]])
    return View(ImageOps.autocontrast(small, cutoff=1), np.hstack([matrix, np.zeros((2, 1))]))


def padded(view: View, fraction: float) -> View:
    """Pad a view by mirroring its margins outwards."""
    x, y = (round(side * fraction) for side in view.image.size)
    pixels = np.pad(np.asarray(view.image), [(y, y), (x, x)], mode="reflect")
    return _compose(Image.fromarray(pixels), view, np.array([[1.0, 0, -x], [0, 1.0, -y]]))


def turned(view: View, degrees: float) -> View:
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


def close_up(
    photo: Image.Image, centre: Float64[np.ndarray, "2"], face_width: float, roll: float
) -> View:
    """Crop a square of twice the face's width, rotated upright, with the face 200 px wide.

    Args:
        photo: The photo, grey.
        centre: The middle of the face, in the photo's plane.
        face_width: In photo pixels.
        roll: How far the face is rotated clockwise, in radians.
    """
    scale = face_width / CLOSE_UP_FACE_PX
    side = 2 * CLOSE_UP_FACE_PX
    # Close-up's plane to the photo's: turned by roll, scaled, the face's middle in its middle.
    turn = scale * np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    shift = centre - turn @ np.array([side / 2, side / 2])
    reach = face_width * math.sqrt(2)  # half the square's diagonal, as it may be rotated
    left, top = np.maximum(centre - reach, 0).astype(int)
    right, bottom = np.ceil(centre + reach).astype(int)
    patch = photo.crop((left, top, min(right, photo.width), min(bottom, photo.height)))
    step = max(1, int(scale))  # average whole pixels first, or sampling would skip some
    patch = ImageOps.autocontrast(patch.reduce(step), cutoff=1)
    # The same map to the patch: its corner is the origin, its pixels are `step` wide.
    matrix = np.column_stack([turn, shift - (left, top)]) / step
    return View(_warp(patch, matrix, (side, side)), np.column_stack([turn, shift]))


def _compose(image: Image.Image, view: View, matrix: Float64[np.ndarray, "2 3"]) -> View:
    """Make the view whose plane maps to another view's plane by the matrix."""
    # (2, 3) @ (3, 3): the second map is applied first, on homogeneous points.
    return View(image, view.matrix @ np.vstack([matrix, [0.0, 0.0, 1.0]]))


def _warp(
    image: Image.Image, matrix: Float64[np.ndarray, "2 3"], size: tuple[int, int]
) -> Image.Image:
    """Sample an image where the matrix sends each output pixel; black outside."""
    return image.transform(
        size, Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BILINEAR
    )
