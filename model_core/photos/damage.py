"""What Pillow's decoders raise on damaged files, as fuzzing has it; around their calls alone.

A lack of memory is not among it: that is ours.
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
