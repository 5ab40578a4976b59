"""What Pillow's decoders raise on damaged files, as found by fuzzing; use around their calls only.

Running out of memory is not included: that is our failure.
"""

import struct
import zlib

DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
)
