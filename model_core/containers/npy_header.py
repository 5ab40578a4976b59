"""The header of a .npy file, read by NumPy, whatever is wrong with it told as one error."""

import io
import tokenize
from typing import Any

import numpy as np

MAGIC = b"\x93NUMPY"
READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# What NumPy's literal reader makes of damage: nesting too deep for the parser is a MemoryError.
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
    """Read magic and header, and leave the file at the first byte of the array.

    Nothing is allocated by what the header says, and no object is made.

    Args:
        file: At its beginning.
        max_bytes: Longest header.

    Returns:
        Shape, whether it is in Fortran's order, and type.
    Raises:
        ValueError: If it is damaged, too long or of a version that only structured arrays need.
    """
    try:
        version = np.lib.format.read_magic(file)
        return READERS[version](file, max_header_size=max_bytes)
    except FAULTS as err:
        raise ValueError(f"npy must have a valid header, got a damaged one: {err}") from err
