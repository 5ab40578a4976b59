"""The frozen networks around the detail encoder: from a photo to its image with detail."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.encoders.detail_encoder import CELL_PX, DetailEncoder, DetailEncoderConfig
from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.errors import InvalidInputError
from model_core.generators.contract import Generator
from model_core.generators.folded import FoldedMobileStyleGAN, folded_order
from model_core.generators.image_head import HeadedGenerator, ImageHead
from model_core.generators.mobilestylegan import MobileStyleGAN
from model_core.images import FACE_PX
from model_core.runtime.precision import FLOAT32, Precision
from model_core.shapes import Codes, Images

FEATURES_PX = FACE_PX // CELL_PX
ROWS = 4
"""Code rows the encoder reads: those of the two blocks above the features."""

LEAST_SPREAD = 1e-3
"""Lower bound of a channel's spread relative to the mean, so that dividing by it is safe."""

Features = Float[Tensor, "batch features px px"]


class FeatureUnits(nn.Module):
    """Convert features to the units the encoder trains in: equal spread, folded channel order.

    Adam moves all weights about equally far whatever the features' scale, so without this the
    channels of little spread would learn too slowly.

    Args:
        spread: Standard deviation of each channel of the folded generator's features.
    """

    spread: Tensor

    def __init__(self, spread: Float[Tensor, " features"]):
        super().__init__()
        self.register_buffer("spread", spread.clamp_min(LEAST_SPREAD * float(spread.mean())))
        self._order = folded_order(len(spread))

    def to_units(self, features: Features) -> Features:
        """Divide the folded generator's features by their spread, in float32."""
        return features.float() / self.spread[:, None, None]

    def from_units(self, features: Features) -> Features:
        """Invert to_units."""
        return features * self.spread[:, None, None]

    def adapt(self, encoder: DetailEncoder) -> None:
        """Convert an encoder for the published generator to features in units, in place."""
        encoder.reorder(self._order)
        encoder.rescale(self.spread.to(encoder.read.weight.device))

    def published(self, encoder: DetailEncoder) -> DetailEncoder:
        """Return a CPU copy of a trained encoder, converted for the published generator."""
        plain = copy.deepcopy(encoder).cpu()
        plain.rescale(1 / self.spread.cpu())
        plain.reorder(self._order.argsort())
        return plain


class DetailPath(nn.Module):
    """The frozen path from a photo to its image with detail; methods take the encoder.

    Args:
        network: The embedding network.
        generator: Float32, on the CPU; copied, as are network and head.
        units: Units of the features.
        head: Image head for most steps; None always renders with the full generator.
        precision: Precision of the frozen networks.
        amp: Whether the encoder runs in that precision too, where that is safe.
    """

    def __init__(
        self,
        network: EmbeddingNetwork,
        generator: MobileStyleGAN,
        units: FeatureUnits,
        head: ImageHead | None = None,
        precision: Precision = FLOAT32,
        amp: bool = True,
    ):
        super().__init__()
        self.blocks = detail_config(generator).blocks
        self._precision = precision
        self._encoder_precision = precision if amp else FLOAT32
        self._network = copy.deepcopy(network).to(memory_format=torch.channels_last)
        self._true = FoldedMobileStyleGAN(copy.deepcopy(generator))
        self._small = HeadedGenerator(self._true, copy.deepcopy(head)) if head else self._true
        self._small.to(precision.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.units = units
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def embed(self, photos: Images) -> tuple[Codes, Features]:
        """Embed photos of 256 px; return their codes and the codes' features in units."""
        with self._precision.autocast(photos.device.type):
            ws = self._network(photos).float()
        return ws, self.units.to_units(self.features(ws))

    @torch.no_grad()
    def features(self, ws: Codes) -> Features:
        """Return the folded generator's features of codes."""
        return self._true.features(ws.to(self._precision.dtype), self.blocks)

    def correct(
        self, encoder: DetailEncoder, photos: Images, features: Features, ws: Codes
    ) -> tuple[Float[Tensor, "batch bottleneck px px"], Features]:
        """Return the photos' details and the corrected features, both in float32."""
        with self._encoder_precision.autocast(photos.device.type):
            detail = encoder(photos, features, ws)
            correction = encoder.decode(detail)
        return detail.float(), features + correction.float()

    def render_full_size(self, features: Features, ws: Codes) -> Images:
        """Render features in units with the full generator, at its own size."""
        dtype = self._precision.dtype
        x = self.units.from_units(features).to(dtype, memory_format=torch.channels_last)
        return self._true.tail(x, ws.to(dtype), self.blocks).float()

    def render(self, features: Features, ws: Codes, true_output: bool = False) -> Images:
        """Render features in units at 256 px; nominally in [-1, 1], not clamped.

        Args:
            features: Features, corrected or not.
            ws: Codes, whose later rows drive the upper blocks.
            true_output: Whether to render with the full generator and downscale by area, rather
                than with the head.
        """
        dtype = self._precision.dtype
        upper = self._true if true_output else self._small
        x = self.units.from_units(features).to(dtype, memory_format=torch.channels_last)
        return F.adaptive_avg_pool2d(upper.tail(x, ws.to(dtype), self.blocks).float(), FACE_PX)


def require_cut(generator: Generator) -> MobileStyleGAN:
    """Return the generator if it can be split at the features.

    Raises:
        InvalidInputError: If it cannot.
    """
    if not isinstance(generator, MobileStyleGAN):
        raise InvalidInputError(
            "generator must be a MobileStyleGAN to train the detail encoder, "
            f"got {type(generator).__name__}"
        )
    return generator


def detail_config(generator: MobileStyleGAN) -> DetailEncoderConfig:
    """Return the configuration of a detail encoder for a generator.

    Raises:
        InvalidInputError: If the generator has no features of the corrected size.
    """
    widths = generator.config.widths
    sizes = [generator.config.const_size_px * 2**n for n in range(1, len(widths))]
    if FEATURES_PX not in sizes:
        raise InvalidInputError(
            f"generator must have features of {FEATURES_PX} px below its last block to train the "
            f"detail encoder, got {sizes}"
        )
    blocks = sizes.index(FEATURES_PX) + 1
    first_row = 2 * blocks + 1
    return DetailEncoderConfig(
        blocks=blocks,
        features=widths[blocks - 1],
        features_px=FEATURES_PX,
        first_row=first_row,
        rows=min(ROWS, generator.num_ws - first_row),
        w_dim=generator.w_dim,
    )
