"""The embedding network E: a face in, its W+ code out, in a single pass.

Source: Guan et al. 2020, section 3.2 and figure 4.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.encoders.attribute import ATTRIBUTE_CHANNELS, ATTRIBUTE_STRIDE, AttributeEncoder
from model_core.encoders.treeconnect import TreeConnect

IDENTITY_PREFIX = "identity."
"""Start of the identity encoder's names in a state dict."""


@dataclass(frozen=True, slots=True)
class EmbeddingNetworkConfig:
    """Sizes of the network; saved with its weights.

    Attributes:
        num_ws: Rows of a code.
        w_dim: Width of a row.
        img_px: Side of the face that is embedded.
        attribute_px: Side at which the attribute encoder reads it: img_px in the paper; half of it
            costs a quarter, and the features are resized to the same grid.
        identity: Name of the identity encoder's weights.
        identity_dim: Length of the identity feature.
        disentangled: Whether identity and attributes are encoded separately and merged; if not, the
            regressor reads the ResNet-50's features as they are (the ablation of table 4).
    """

    num_ws: int = 18
    w_dim: int = 512
    img_px: int = 256
    attribute_px: int = 256
    identity: str = "dlib-resnet29"
    identity_dim: int = 256
    disentangled: bool = True

    @property
    def sides(self) -> tuple[int, int]:
        """Sides of TreeConnect's matrix, whose entries make up one W+ code.

        A square if possible, as for 18 rows of 512; else the nearest to one.
        """
        size = self.num_ws * self.w_dim
        rows = next(n for n in range(math.isqrt(size), 0, -1) if size % n == 0)
        return rows, size // rows


class Denormalization(nn.Module):
    """Merge the encoders: normalise attribute features, then scale and shift them by identity.

    Source: Guan et al. 2020, equations 2 and 3.
    """

    def __init__(self, channels: int, identity_dim: int):
        super().__init__()
        self.fc = nn.Linear(identity_dim, 2 * channels)
        nn.init.normal_(self.fc.weight, std=0.1 * identity_dim**-0.5)
        nn.init.zeros_(self.fc.bias)

    def forward(
        self,
        attribute: Float[Tensor, "batch channels rows columns"],
        identity: Float[Tensor, "batch identity_dim"],
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return gamma * (f_attr - mu) / sigma + beta, with gamma - 1 and beta from f_id.

        f_id is first normalised to zero mean and unit variance, whichever recogniser it comes from.
        """
        # (batch, 2 * channels) -> two of (batch, channels); gamma is near 1 at the start.
        scale, shift = self.fc(F.layer_norm(identity, identity.shape[1:])).chunk(2, dim=1)
        return torch.addcmul(
            shift[:, :, None, None], F.instance_norm(attribute), 1 + scale[:, :, None, None]
        )


class EmbeddingNetwork(nn.Module):
    """E(x) -> ws: identity and attribute encoders, denormalisation, TreeConnect regressor.

    The regressor predicts the difference from the mean code in units of W's standard deviation.

    Args:
        config: Sizes.
        identity: E_id, images (batch, 3, 256, 256) in [-1, 1] to features (batch, identity_dim).
        w_mean: The generator's mean code, (w_dim,).
        w_std: The generator's standard deviation of W, (w_dim,).
    """

    w_mean: Tensor
    w_std: Tensor

    def __init__(
        self, config: EmbeddingNetworkConfig, identity: nn.Module, w_mean: Tensor, w_std: Tensor
    ):
        super().__init__()
        self.config = config
        self.identity = identity
        self.attribute = AttributeEncoder()
        self._cells = config.img_px // ATTRIBUTE_STRIDE
        if config.disentangled:
            self.merge = Denormalization(ATTRIBUTE_CHANNELS, config.identity_dim)
        self.regressor = TreeConnect(ATTRIBUTE_CHANNELS, self._cells**2, *config.sides)
        self.register_buffer("w_mean", w_mean.clone())
        self.register_buffer("w_std", w_std.clone())

    def forward(
        self,
        img: Float[Tensor, "batch 3 height width"],
        identity_img: Float[Tensor, "batch 3 height width"] | None = None,
    ) -> Float[Tensor, "batch num_ws w_dim"]:
        """Embed aligned faces in [-1, 1].

        Args:
            img: Source of the attributes (and of identity, unless identity_img is given).
            identity_img: Source of the identity: figure 9 of the paper.
        """
        if not self.config.disentangled:
            return self._regress(self.read_attributes(img))
        f_id = self.identity(img if identity_img is None else identity_img)
        return self.decode(self.read_attributes(img), f_id)

    def read_attributes(
        self, img: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Compute f_attr on the grid that the regressor expects."""
        if self.config.attribute_px != self.config.img_px:
            img = F.adaptive_avg_pool2d(img, self.config.attribute_px)
        f_attr: Tensor = self.attribute(img)
        if f_attr.shape[-1] != self._cells:
            f_attr = F.interpolate(f_attr, (self._cells, self._cells), mode="bilinear")
        return f_attr

    def decode(
        self,
        f_attr: Float[Tensor, "batch channels rows columns"],
        f_id: Float[Tensor, "batch identity_dim"],
    ) -> Float[Tensor, "batch num_ws w_dim"]:
        """Merge the two features and regress the code."""
        return self._regress(self.merge(f_attr, f_id) if self.config.disentangled else f_attr)

    def _regress(
        self, features: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch num_ws w_dim"]:
        # (batch, num_ws * w_dim), in float32 for the sum with the mean code.
        delta: Tensor = self.regressor(features).float()
        return self.w_mean + self.w_std * delta.reshape(-1, self.config.num_ws, self.config.w_dim)
