"""The contract of every generator family."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_core.generators.mapping import Mapping


@runtime_checkable
class GeneratorConfig(Protocol):
    """What the config of every family provides; it is saved with the weights."""

    @property
    def w_dim(self) -> int:
        """Width of z and of a row of W+."""

    @property
    def mapping_layers(self) -> int:
        """Layers of the mapping network."""

    @property
    def num_ws(self) -> int:
        """Rows of a code."""

    @property
    def img_resolution(self) -> int:
        """Side of the image, px."""


class Generator(nn.Module, ABC):
    """A frozen StyleGAN-like generator: z -> w -> img.

    Args:
        config: Sizes of the network.

    Attributes:
        num_ws: Rows of a W+ code; 18 at 1024 px.
        w_dim: Width of a row; 512.
        img_resolution: Side of the generated image, px.
        w_mean: Mean of mapped codes, (w_dim,); the code of the average face.
        w_std: Standard deviation of mapped codes per component, (w_dim,).
    """

    num_ws: int
    w_dim: int
    img_resolution: int
    w_mean: Tensor
    w_std: Tensor

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.num_ws, self.w_dim = config.num_ws, config.w_dim
        self.img_resolution = config.img_resolution
        self.mapping_network = Mapping(config.w_dim, config.mapping_layers)
        self.register_buffer("w_mean", torch.zeros(config.w_dim))
        self.register_buffer("w_std", torch.ones(config.w_dim))

    def mapping(self, z: Float[Tensor, "batch z_dim"]) -> Float[Tensor, "batch w_dim"]:
        """Map z ~ N(0, I) to W."""
        w: Tensor = self.mapping_network(z)
        return w

    @abstractmethod
    def synthesis(
        self,
        ws: Float[Tensor, "batch num_ws w_dim"],
        noise: Sequence[Float[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "batch 3 height width"]:
        """Render W+ codes: RGB, nominally in [-1, 1] and not clamped; differentiable.

        Args:
            ws: W+ codes, coarse rows first.
            noise: One map per noisy layer instead of the generator's own, or None. Those of
                StyleGAN and StyleGAN2 are of unit variance: the layers scale them.
        """

    @abstractmethod
    def style_matrices(self) -> list[Float[Tensor, "styles w_dim"]]:
        """Return the stacked linear maps through which the network reads each row of W+."""

    def truncate(
        self, w: Float[Tensor, "batch w_dim"], psi: float | Float[Tensor, "batch 1"]
    ) -> Float[Tensor, "batch w_dim"]:
        """Pull codes towards the mean: psi 1 leaves them, psi 0 gives the average face."""
        return self.w_mean + psi * (w - self.w_mean)


@runtime_checkable
class SplitGenerator(Protocol):
    """A generator whose synthesis can be split in two, so that features can be corrected between.

    `tail(features(ws, n), ws, n)` is `synthesis(ws)` for every n. MobileStyleGAN can be split.
    StyleGAN and StyleGAN2 cannot: their images are sums over all resolutions, of which the upper
    blocks see only a part.
    """

    def features(
        self, ws: Float[Tensor, "batch num_ws w_dim"], blocks: int
    ) -> Float[Tensor, "batch channels size size"]:
        """Run the constant and the first blocks."""

    def tail(
        self,
        features: Float[Tensor, "batch channels size size"],
        ws: Float[Tensor, "batch num_ws w_dim"],
        blocks: int,
    ) -> Float[Tensor, "batch 3 height width"]:
        """Render the features of the first blocks with the others; RGB as in `synthesis`."""
