"""Read the header of a .npy file with NumPy, turning every fault into one error."""

import io
import tokenize
from typing import Any

import numpy as np

MAGIC = b"\x93NUMPY"
READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# Raised by NumPy's literal parser on damaged headers; too deep a nesting is a MemoryError.
FAULTS = (
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    OverflowError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)


def read_npy_header(
    file: io.BytesIO, max_bytes: int
) -> tuple[tuple[int, ...], bool, "np.dtype[Any]"]:
    """Read magic and header, leaving the file at the first byte of the array.

    Allocates nothing that the header asks for and creates no objects.

    Args:
        file: Positioned at its beginning.
        max_bytes: Longest accepted header.

    Returns:
        Shape, whether the order is Fortran's, and dtype.

    Raises:
        ValueError: If it is damaged, too long or of a version that only structured arrays need.
    """
    try:
        version = np.lib.format.read_magic(file)
        return READERS[version](file, max_header_size=max_bytes)
    except FAULTS as err:
        raise ValueError(f"npy must have a valid header, got a damaged one: {err}") from err
