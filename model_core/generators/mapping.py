"""The mapping network that StyleGAN, StyleGAN2 and their descendants share."""

from jaxtyping import Float
from torch import Tensor, nn

from model_core.generators.ops import leaky_relu, normalize_second_moment

MAPPING_GAIN = 2**0.5


class Mapping(nn.Module):
    """z -> w: normalisation and leaky fully connected layers.

    The weights include what the originals multiply at run time: equalised scale and learning rate.
    """

    def __init__(self, w_dim: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(w_dim, w_dim) for _ in range(layers))

    def forward(self, z: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Map z ~ N(0, I) to W."""
        x = normalize_second_moment(z)
        for layer in self.layers:
            x = leaky_relu(layer(x)) * MAPPING_GAIN
        return x
