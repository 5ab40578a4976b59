"""A latent: a W+ code and, where a photo was embedded with it, the detail beside it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model_core.errors import InvalidInputError
from model_core.shapes import DetailTensor, Ws

DETAIL_LIMIT = 1000.0
"""Largest value of a detail that is accepted; those of photos stay below 30."""


@dataclass(frozen=True, slots=True)
class Detail:
    """What a code leaves out of a photo.

    Attributes:
        tensor: What the detail encoder gave.
        home: The code beside which it was encoded; rendering another code moves the detail along
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
    """Return a detail that came from outside, in float16, if the generator in use can take it.

    Args:
        tensor: The detail.
        shape: What the detail encoder in use gives for one face.
    Raises:
        InvalidInputError: If its shape or its values break a rule.
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
        a: What lam = 1 gives; None stands for no correction.
        b: What lam = 0 gives; None as for a.
        lam: 0 to 1.
    """
    shares = [(each, share) for each, share in ((a, lam), (b, 1 - lam)) if each is not None]
    if not shares:
        return None
    return torch.stack([share * each.float() for each, share in shares]).sum(0).half()
