"""Render latents: codes to pixels, with or without the detail that they leave out of photos."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from model_core.encoders.detail_encoder import DetailEncoder
from model_core.errors import InvalidInputError
from model_core.generators.contract import Generator
from model_core.generators.sampling import sample_w, spread_along
from model_core.images import to_float
from model_core.latents.carrying import carry
from model_core.latents.editing import COLOUR_ROW
from model_core.latents.latent import Detail, Latent, blend
from model_core.runtime.detail import DetailRenderer
from model_core.runtime.execution import Execution
from model_core.runtime.synthesizer import Synthesizer
from model_core.shapes import Codes, Details, DetailTensor, Faces, Ws


class LatentRenderer:
    """Render codes and their details, and draw codes from the generator's own distribution.

    Attributes:
        device: Where the networks run; all inputs and outputs are on the CPU.
        generator_name: Name of the generator.
        num_ws: Rows of a code.
        w_dim: Width of a code.
        img_resolution: Side of an image, px.

    Args:
        generator: Frozen, float32, on the CPU.
        execution: How everything runs.
        generator_name: Name of the generator.
        detail: Encodes what codes leave out of photos, and the SHA-256 of its decoder; None renders
            codes alone.
    Raises:
        InvalidInputError: If the generator cannot be split for the detail encoder.
    """

    def __init__(
        self,
        generator: Generator,
        execution: Execution,
        generator_name: str,
        detail: tuple[DetailEncoder, str] | None,
    ):
        self.device = execution.device
        self.generator_name = generator_name
        self.num_ws, self.w_dim = generator.num_ws, generator.w_dim
        self.img_resolution = generator.img_resolution
        self._generator = generator
        self._synthesizer = Synthesizer(generator, execution)
        self._detail: DetailRenderer | None = None
        if detail:
            self._detail = DetailRenderer(generator, detail[0], detail[1], execution)

    @property
    def backend(self) -> str:
        """How the generator runs: eager, compile or openvino."""
        return self._synthesizer.backend

    @property
    def detail_digest(self) -> str | None:
        """SHA-256 of the detail decoder's weights; None if there is none."""
        return self._detail.fingerprint if self._detail else None

    @property
    def detail_shape(self) -> tuple[int, int, int] | None:
        """Shape of the detail of one face; None if there is no detail encoder."""
        return self._detail.shape if self._detail else None

    def encode_detail(self, faces: Faces, ws: Codes) -> Details:
        """Compute what codes leave out of aligned faces.

        Args:
            faces: The faces.
            ws: Their codes.
        Raises:
            InvalidInputError: If there is no detail encoder for the generator.
        """
        return self._details().encode(self._to_float(faces), ws)

    @torch.inference_mode()
    def carry_detail(self, details: Details, homes: Codes, ws: Codes) -> Details:
        """Move details along to other codes, so that an edit leaves no ghost of them behind.

        If only rows above the features differ, details stay as they are.

        Args:
            details: From `encode_detail`.
            homes: The codes that they were encoded for.
            ws: The codes to render with them.
        Raises:
            InvalidInputError: If there is no detail encoder for the generator.
        """
        renderer = self._details()
        coarse = slice(COLOUR_ROW)
        if torch.equal(homes[:, coarse], ws[:, coarse]):
            return details
        old, new = renderer.features(homes), renderer.features(ws)
        return carry(details.float().to(old.device), old, new).half().cpu()

    def synthesize(
        self, ws: Codes, details: Details | None = None
    ) -> UInt8[np.ndarray, "batch height width 3"]:
        """Render codes to RGB bytes, with or without their details.

        Raises:
            InvalidInputError: If details are given and there is no detail encoder.
        """
        if details is None:
            return self._synthesizer(ws).numpy()
        return self._details()(ws, details).numpy()

    def render(self, latents: Sequence[Latent]) -> UInt8[np.ndarray, "batch height width 3"]:
        """Render latents to RGB bytes, each with its detail if it has one.

        Raises:
            InvalidInputError: If one has a detail and there is no detail encoder.
        """
        if all(latent.detail is None for latent in latents):
            return self.synthesize(torch.stack([latent.ws for latent in latents]))
        return np.concatenate([self._render_one(latent) for latent in latents])

    def blend(self, a: Latent, b: Latent, lam: float, ws: Ws) -> Latent:
        """Make the latent of a blended code, with the details of both moved to it.

        Args:
            a: The latent of lam = 1.
            b: The latent of lam = 0.
            lam: 0 to 1.
            ws: The blended code.
        Raises:
            InvalidInputError: If one has a detail and there is no detail encoder.
        """
        tensor = blend(self._moved(a, ws), self._moved(b, ws), lam)
        return Latent(ws, None if tensor is None else Detail(tensor, ws))

    def sample(self, seed: int, psi: float) -> Float[Tensor, "1 num_ws w_dim"]:
        """Sample the code of a random face: the same seed gives the same face everywhere.

        Args:
            seed: 0 to 2**32 - 1.
            psi: Truncation: 0 is the average face, 1 the whole distribution.
        """
        w = sample_w(self._generator, [seed], psi)
        return w[:, None].repeat(1, self.num_ws, 1)

    def spread(self, directions: Float[Tensor, "rows w_dim"]) -> Float[Tensor, " rows"]:
        """Measure the standard deviation of mapped codes along directions of any length but 0."""
        return spread_along(self._generator, directions)

    def _render_one(self, latent: Latent) -> UInt8[np.ndarray, "1 height width 3"]:
        detail = self._moved(latent, latent.ws)
        return self.synthesize(latent.ws[None], None if detail is None else detail[None])

    def _moved(self, latent: Latent, ws: Ws) -> DetailTensor | None:
        """Return the detail of a latent, moved to another code."""
        detail = latent.detail
        if detail is None:
            return None
        return self.carry_detail(detail.tensor[None], detail.home[None], ws[None])[0]

    def _details(self) -> DetailRenderer:
        if self._detail is None:
            raise InvalidInputError(
                f"detail needs a detail encoder for {self.generator_name}, got none: "
                "detail=false renders the code alone"
            )
        return self._detail

    def _to_float(
        self, images: UInt8[np.ndarray, "batch height width 3"]
    ) -> Float[Tensor, "batch 3 height width"]:
        img = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        return to_float(img)
