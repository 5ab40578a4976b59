"""RGB images as bytes in numpy arrays, by the names that all signatures use; imports no torch."""

import numpy as np
from jaxtyping import UInt8

FACE_PX = 256
"""Side of the aligned faces that the embedding network reads and that metrics compare."""

Face = UInt8[np.ndarray, "256 256 3"]
"""One aligned face."""

Faces = UInt8[np.ndarray, "batch 256 256 3"]
"""Aligned faces."""

Pixels = UInt8[np.ndarray, "height width 3"]
"""One image."""

SquarePixels = UInt8[np.ndarray, "size size 3"]
"""One square image."""
