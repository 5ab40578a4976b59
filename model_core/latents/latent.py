"""A latent: a W+ code and, for an embedded photo, the detail that goes with it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model_core.encoders.detail_encoder import DETAIL_LIMIT
from model_core.errors import InvalidInputError
from model_core.shapes import DetailTensor, Ws


@dataclass(frozen=True, slots=True)
class Detail:
    """What a code leaves out of a photo.

    Attributes:
        tensor: Output of the detail encoder.
        home: The code that it was encoded for; rendering another code moves the detail along
            with what that code moves.
    """

    tensor: DetailTensor
    home: Ws


@dataclass(frozen=True, slots=True)
class Latent:
    """What a face is rendered from.

    Attributes:
        ws: The code.
        detail: What the code leaves out of the photo; None renders the code alone.
    """

    ws: Ws
    detail: Detail | None = None

    def moved_to(self, ws: Ws) -> "Latent":
        """Return the latent of an edited code, which keeps the detail."""
        return Latent(ws, self.detail)


def check_detail(tensor: Tensor, shape: tuple[int, int, int]) -> DetailTensor:
    """Return an external detail in float16, if the generator in use can take it.

    Args:
        tensor: The detail.
        shape: Shape of a detail from the detail encoder in use.
    Raises:
        InvalidInputError: If its shape or its values are invalid.
    """
    if tuple(tensor.shape) != shape:
        raise InvalidInputError(f"detail must have the shape {shape}, got {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise InvalidInputError(f"detail must hold floats, got {tensor.dtype}")
    largest = float(tensor.abs().max())
    if not largest <= DETAIL_LIMIT:  # NaN is not
        raise InvalidInputError(
            f"detail must be finite and within {DETAIL_LIMIT:g}, got {largest:g}"
        )
    return tensor.half().contiguous()


def blend(a: DetailTensor | None, b: DetailTensor | None, lam: float) -> DetailTensor | None:
    """Blend details of one code as `editing.morph` blends codes: lam * a + (1 - lam) * b.

    Args:
        a: Detail at lam = 1; None means no correction.
        b: Detail at lam = 0; None as for a.
        lam: 0 to 1.
    """
    shares = [(each, share) for each, share in ((a, lam), (b, 1 - lam)) if each is not None]
    if not shares:
        return None
    return torch.stack([share * each.float() for each, share in shares]).sum(0).half()
