"""Photos in: size checked, then read by model_core's reader, which service and training share."""

from dataclasses import dataclass, replace

from model_core.errors import TooManyPixelsError
from model_core.photos.reader import Photo, PhotoLimits
from model_core.photos.reader import harden as harden
from model_core.photos.reader import read_photo as decode
from service.errors import TooLargeError


@dataclass(frozen=True, slots=True)
class ImageLimits(PhotoLimits):
    """Limits on an uploaded photo.

    Attributes:
        max_bytes: Largest file.
    """

    min_side_px: int = 64
    max_bytes: int = 20_000_000


def read_whole_photo(data: bytes, limits: ImageLimits, max_pixels: int) -> Photo:
    """Decode a photo at its own size, for an answer of that size; blocking, like `read_photo`.

    Raises:
        ImageRejectedError, TooLargeError: As for `read_photo`; for more than `max_pixels` too.
    """
    most = min(limits.max_pixels, max_pixels)
    try:
        return read_photo(data, replace(limits, max_pixels=most, own_size=True))
    except TooManyPixelsError as err:
        raise TooManyPixelsError(f"{err}; output=face takes larger photos") from err


def read_photo(data: bytes, limits: ImageLimits) -> Photo:
    """Decode a photo; blocking, so call it from a worker thread.

    Raises:
        ImageRejectedError: If it is not an image, not in a supported format, damaged, too large
            or too small; the class says which.
        TooLargeError: If the file has too many bytes.
    """
    if len(data) > limits.max_bytes:
        raise TooLargeError(f"image must have at most {limits.max_bytes} bytes, got {len(data)}")
    return decode(data, limits)
