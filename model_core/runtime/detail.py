"""Compute details and render codes with them, each part on whichever backend is fastest."""

import copy
import logging

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from model_core.encoders.detail_encoder import CELL_PX, DetailEncoder
from model_core.errors import InvalidInputError
from model_core.generators.contract import Generator, SplitGenerator
from model_core.generators.folded import FoldedMobileStyleGAN, folded_order
from model_core.generators.mobilestylegan import MobileStyleGAN
from model_core.images import to_uint8
from model_core.runtime.compiled import Run, defer_module, one_by_one
from model_core.runtime.execution import Execution
from model_core.shapes import Codes, Details, Images

_log = logging.getLogger(__name__)


class DetailEncoding:
    """The detail encoder on top of the generator's lower blocks.

    The features of the last code are cached, because a request first encodes a code's detail
    and then renders both.

    Args:
        generator: Frozen, float32, on the CPU; copied.
        encoder: Trained for it; copied.
        fingerprint: SHA-256 of the encoder's weights.
        execution: How the networks run.

    Attributes:
        encoder: The encoder for the features of the folded generator.
        shape: Shape of the detail of one face.

    Raises:
        InvalidInputError: If the generator cannot be split.
    """

    def __init__(
        self,
        generator: Generator,
        encoder: DetailEncoder,
        fingerprint: str,
        execution: Execution,
    ):
        if not isinstance(generator, SplitGenerator):
            raise InvalidInputError(
                "generator must be one that can be split, such as MobileStyleGAN, "
                f"got {type(generator).__name__}"
            )
        config = encoder.config
        self.fingerprint = fingerprint
        self.shape = (config.bottleneck, config.features_px, config.features_px)
        self._execution = execution
        self._networks = network, encoder = _folded(generator, encoder)
        self.encoder = encoder
        self._ws = ws = generator.w_mean.float().repeat(1, generator.num_ws, 1)
        photo = torch.zeros(1, 3, *[config.features_px * CELL_PX] * 2)
        self._blank = features = torch.zeros(1, *self.shape[1:], config.features)
        self._lower = self._runner("generator's lower blocks", _Lower(network, encoder), ws)
        self._encode = self._runner("detail encoder", _Encode(encoder), photo, features, ws)
        self._last: tuple[Tensor, Tensor] | None = None

    @torch.inference_mode()
    def encode(self, photos: Images, ws: Codes) -> Details:
        """Compute the details of aligned faces and their codes; on the CPU.

        Args:
            photos: The faces, 256 px, RGB in [-1, 1].
            ws: Their codes.
        """
        ws = ws.float().contiguous()
        details = self._encode(photos.contiguous(), self._features(ws), ws)
        return details.half().cpu()

    @torch.inference_mode()
    def features(self, ws: Codes) -> Float[Tensor, "batch features px px"]:
        """Compute the features that details correct, from codes, on the device."""
        return self._features(ws).permute(0, 3, 1, 2)

    def _features(self, ws: Codes) -> Float[Tensor, "batch px px features"]:
        """Compute them channels last, as the networks pass them on."""
        if self._last is None or not torch.equal(self._last[0], ws):
            self._last = (ws.clone(), self._lower(ws))
        return self._last[1]

    def _runner(self, name: str, network: nn.Module, *example: Tensor) -> Run:
        """Run a network as the execution says: first what is ready, then what is faster."""
        execution = self._execution
        run = self._fallback(network, *example)
        if not execution.compiles or execution.backend == "openvino":
            return run
        return defer_module(execution, name, network, run, example)

    def _fallback(self, network: nn.Module, *example: Tensor) -> Run:
        execution = self._execution
        if execution.by_openvino:
            from model_core.runtime.openvino import run_by_openvino  # evaluations go without it

            try:
                return one_by_one(run_by_openvino(network, execution.precision, *example))
            except RuntimeError:
                _log.exception("OpenVINO cannot render with detail here: using plain torch")
        plain = copy.deepcopy(network).to(execution.device, execution.precision.dtype)

        def run(*batches: Tensor) -> Tensor:
            out: Tensor = plain(*(batch.to(execution.device) for batch in batches))
            return out

        return one_by_one(run) if execution.on_cpu else run


class DetailRenderer(DetailEncoding):
    """The generator split in two, with the detail encoder in between.

    Three networks run one after the other: the lower blocks, the detail encoder, and the upper
    blocks on the corrected features.

    Args:
        generator: As in `DetailEncoding`, like the rest.
        encoder: Trained for it; copied.
        fingerprint: SHA-256 of the encoder's weights.
        execution: How the networks run.
    """

    def __init__(
        self,
        generator: Generator,
        encoder: DetailEncoder,
        fingerprint: str,
        execution: Execution,
    ):
        super().__init__(generator, encoder, fingerprint, execution)
        detail = torch.zeros(1, *self.shape)
        upper = _Upper(*self._networks)
        self._upper = self._runner("generator's upper blocks", upper, self._blank, detail, self._ws)

    @torch.inference_mode()
    def __call__(self, ws: Codes, details: Details) -> UInt8[Tensor, "batch height width 3"]:
        """Render codes with details to RGB bytes on the CPU."""
        ws = ws.float().contiguous()
        return self._upper(self._features(ws), details.float().contiguous(), ws).cpu()


class _Lower(nn.Module):
    """Codes to the features that details correct."""

    def __init__(self, generator: SplitGenerator, encoder: DetailEncoder):
        super().__init__()
        self.generator, self.blocks = generator, encoder.config.blocks

    def forward(self, ws: Codes) -> Float[Tensor, "batch px px features"]:
        features = self.generator.features(_like(self, ws), self.blocks)
        return features.permute(0, 2, 3, 1).float().contiguous()


class _Encode(nn.Module):
    """Photos, features and codes to details."""

    def __init__(self, encoder: DetailEncoder):
        super().__init__()
        self.encoder = encoder

    def forward(
        self, photos: Images, features: Float[Tensor, "batch px px features"], ws: Codes
    ) -> Float[Tensor, "batch bottleneck px px"]:
        given = _like(self, features.permute(0, 3, 1, 2))
        out: Tensor = self.encoder(_like(self, photos), given, _like(self, ws))
        return out.float().contiguous()


class _Upper(nn.Module):
    """Features, details and codes to bytes."""

    def __init__(self, generator: SplitGenerator, encoder: DetailEncoder):
        super().__init__()
        self.generator, self.decoder = generator, encoder.decoder
        self.blocks = encoder.config.blocks

    def forward(
        self,
        features: Float[Tensor, "batch px px features"],
        details: Float[Tensor, "batch bottleneck px px"],
        ws: Codes,
    ) -> UInt8[Tensor, "batch height width 3"]:
        corrected = _like(self, features.permute(0, 3, 1, 2)) + self.decoder(_like(self, details))
        img = self.generator.tail(corrected, _like(self, ws), self.blocks).float()
        return to_uint8(img).permute(0, 2, 3, 1).contiguous()


def _like(network: nn.Module, x: Tensor) -> Tensor:
    """Convert a tensor to a network's dtype."""
    return x.to(next(network.parameters()).dtype)


def _folded(generator: Generator, encoder: DetailEncoder) -> tuple[SplitGenerator, DetailEncoder]:
    """Copy both, the generator in its fastest form and the encoder adapted to it."""
    generator, encoder = copy.deepcopy(generator), copy.deepcopy(encoder)
    if isinstance(generator, MobileStyleGAN):
        encoder.reorder(folded_order(encoder.config.features))
        return FoldedMobileStyleGAN(generator), encoder
    return generator, encoder  # type: ignore[return-value]
