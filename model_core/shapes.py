"""Shapes of latent codes and images, by the names that all signatures use."""

from jaxtyping import Float, Float16, UInt8
from torch import Tensor

from model_core.pixels import Face as Face
from model_core.pixels import Faces as Faces
from model_core.pixels import Pixels as Pixels
from model_core.pixels import SquarePixels as SquarePixels

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
