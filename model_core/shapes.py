"""Shapes of latent codes and images, by the names that all signatures use."""

import numpy as np
from jaxtyping import Float, Float16, UInt8
from torch import Tensor

Ws = Float[Tensor, "num_ws w_dim"]
"""One latent code of W+."""

Codes = Float[Tensor, "batch num_ws w_dim"]
"""Latent codes."""

SingleCode = Float[Tensor, "1 num_ws w_dim"]
"""A batch of one latent code."""

DetailTensor = Float16[Tensor, "bottleneck px px"]
"""Output of the detail encoder for one face."""

Details = Float16[Tensor, "batch bottleneck px px"]
"""Output of the detail encoder for several faces."""

Images = Float[Tensor, "batch 3 height width"]
"""RGB images in [-1, 1]."""

SingleImage = Float[Tensor, "1 3 height width"]
"""A batch of one RGB image in [-1, 1]."""

FaceImages = Float[Tensor, "batch 3 256 256"]
"""Aligned faces in [-1, 1]."""

ByteImages = UInt8[Tensor, "batch 3 height width"]
"""RGB images as bytes, as datasets hold them."""

Face = UInt8[np.ndarray, "256 256 3"]
"""One aligned face, RGB."""

Faces = UInt8[np.ndarray, "batch 256 256 3"]
"""Aligned faces, RGB."""

Pixels = UInt8[np.ndarray, "height width 3"]
"""One RGB image."""

SquarePixels = UInt8[np.ndarray, "size size 3"]
"""One square RGB image."""
