"""A latent: a W+ code and, where a photo was embedded with it, the detail beside it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float16
from torch import Tensor

from model_core.errors import InvalidInputError
from model_core.shapes import Ws

DetailTensor = Float16[Tensor, "bottleneck px px"]
"""What the detail encoder gives for one face."""

DETAIL_LIMIT = 100.0
"""Largest value of a detail that is accepted; those of photos stay below 15."""


@dataclass(frozen=True, slots=True)
class Latent:
    """What a face is rendered from.

    Attributes:
        ws: The code.
        detail: What the code leaves out of the photo, as a correction of the generator's features;
            None renders the code alone.
    """

    ws: Ws
    detail: DetailTensor | None = None

    def moved_to(self, ws: Ws) -> "Latent":
        """Return the latent of another code with the same detail: an edit keeps the detail."""
        return Latent(ws, self.detail)

    @property
    def bare(self) -> "Latent":
        """The code alone."""
        return Latent(self.ws)


def blend_details(
    a: DetailTensor | None, b: DetailTensor | None, lam: float
) -> DetailTensor | None:
    """Blend details as `editing.morph` blends codes: lam * a + (1 - lam) * b.

    Args:
        a: What lam = 1 gives; None stands for no correction.
        b: What lam = 0 gives; None as for a.
        lam: 0 to 1.
    """
    if a is None and b is None:
        return None
    if a is None or b is None:
        present, share = (b, 1 - lam) if a is None else (a, lam)
        return (share * present.float()).half()  # type: ignore[union-attr]
    return torch.lerp(b.float(), a.float(), lam).half()


def check_detail(detail: Tensor, shape: tuple[int, int, int]) -> DetailTensor:
    """Return a detail that came from outside, in float16, if a generator can use it.

    Args:
        detail: The tensor.
        shape: What the detail encoder in use gives for one face.
    Raises:
        InvalidInputError: If its shape or its values break a rule.
    """
    if tuple(detail.shape) != shape:
        raise InvalidInputError(f"detail must have the shape {shape}, got {tuple(detail.shape)}")
    if not detail.is_floating_point():
        raise InvalidInputError(f"detail must hold floats, got {detail.dtype}")
    if not bool(detail.isfinite().all()):
        raise InvalidInputError("detail must be finite, got NaN or infinity")
    largest = float(detail.abs().max())
    if largest > DETAIL_LIMIT:
        raise InvalidInputError(f"detail must be within {DETAIL_LIMIT:g}, got {largest:g}")
    return detail.half().contiguous()
