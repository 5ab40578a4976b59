"""Where a crop lies in its photo, and the resampling between the two."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in whole photo pixels, right and bottom excluded."""

STRIP_ROWS = 256
"""Rows of the photo that are resampled together: 25 megapixels as floats would be 300 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """A crop's place in a photo.

    Attributes:
        quad: The crop's corners in photo pixels (pixel centres at whole numbers), in the order
            top left, bottom left, bottom right, top right.
        width: The photo's width in pixels.
        height: The photo's height in pixels.
    """

    quad: Float[np.ndarray, "4 2"]
    width: int
    height: int

    @property
    def side_px(self) -> float:
        """Length of the crop's side in the photo."""
        return float(np.linalg.norm(self.quad[1] - self.quad[0]))

    def work_px(self, image_px: int) -> int:
        """Return the side at which to blend: that of the image, or the photo's if it is coarser."""
        return max(1, min(image_px, round(self.side_px)))

    def box_of(self, opacity: Float32[np.ndarray, "px px"]) -> Box | None:
        """Return the photo pixels that an opacity in the crop can reach; None if there are none."""
        rows, columns = np.nonzero(opacity.any(1))[0], np.nonzero(opacity.any(0))[0]
        if not len(rows):
            return None
        # One crop pixel around, because sampling between pixels reaches that far.
        x, y = [columns[0] - 1, columns[-1] + 1], [rows[0] - 1, rows[-1] + 1]
        corners = np.array([(a, b, 1.0) for a in x for b in y]) @ self._to_photo(len(opacity)).T
        low = np.maximum(np.floor(corners.min(0)).astype(int), 0)
        high = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, (self.width, self.height))
        if np.any(low >= high):
            return None
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def lift(
        self, image: Float32[np.ndarray, "px px *channels"], box: Box
    ) -> Float32[np.ndarray, "height width *channels"]:
        """Resample an image in the crop's frame to a box of the photo; 0 outside the crop.

        Nothing is filtered: shrink the image to `work_px` first if it is finer than the photo.
        """
        left, top, right, bottom = box
        matrix = self._to_photo(len(image)) - np.array([[0, 0, left], [0, 0, top]])
        flags = cv2.INTER_CUBIC if image.ndim == 3 else cv2.INTER_LINEAR
        return np.asarray(cv2.warpAffine(image, matrix, (right - left, bottom - top), flags=flags))

    def drop(
        self, photo: UInt8[np.ndarray, "height width 3"], px: int
    ) -> UInt8[np.ndarray, "px px 3"]:
        """Resample the photo into the crop's frame, its edge pixels repeated outside of it."""
        low = np.clip(np.floor(self.quad.min(0)).astype(int) - 2, 0, (self.width, self.height))
        high = np.clip(np.ceil(self.quad.max(0)).astype(int) + 3, 0, (self.width, self.height))
        patch = photo[low[1] : high[1], low[0] : high[0]]
        size = np.array([patch.shape[1], patch.shape[0]])
        factor = min(1.0, px / self.side_px)
        small = np.maximum(np.rint(size * factor).astype(int), 1)
        if factor < 1:
            patch = cv2.resize(patch, (int(small[0]), int(small[1])), interpolation=cv2.INTER_AREA)
        # Crop to patch: pixel centres are half a pixel from corners, before and after shrinking.
        matrix = self._to_photo(px)
        scale = (small / size)[:, None]
        matrix[:, 2:] += 0.5 - low[:, None]
        matrix = matrix * scale
        matrix[:, 2] -= 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        border = cv2.BORDER_REPLICATE
        return np.asarray(cv2.warpAffine(patch, matrix, (px, px), flags=flags, borderMode=border))

    def _to_photo(self, px: int) -> Float[np.ndarray, "2 3"]:
        """Return the matrix from crop pixels (x, y, 1) to the photo's; centres at whole numbers."""
        origin = self.quad[0]
        down, across = (self.quad[1] - origin) / px, (self.quad[3] - origin) / px
        # The crop's corner is half a crop pixel before the centre of its first pixel.
        return np.column_stack([across, down, origin + (across + down) / 2])


def strips(box: Box) -> Iterator[Box]:
    """Cut a box into strips of a few rows."""
    left, top, right, bottom = box
    for row in range(top, bottom, STRIP_ROWS):
        yield left, row, right, min(row + STRIP_ROWS, bottom)


def shrink(image: UInt8[np.ndarray, "size size 3"], px: int) -> UInt8[np.ndarray, "px px 3"]:
    """Average an image to a side of at most its own."""
    if len(image) <= px:
        return image
    return np.asarray(cv2.resize(image, (px, px), interpolation=cv2.INTER_AREA))
