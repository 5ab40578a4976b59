"""The detail encoder's objective: the error of its images and the size of its details."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import Images
from model_core.training.config import TrainConfig
from model_core.training.losses.identity import PersonDescriber

Terms = dict[str, Float[Tensor, ""]]

FACE_CENTRE_Y = 0.08
FACE_HALF_WIDTH, FACE_HALF_HEIGHT = 0.72, 0.92
FACE_EDGE = 0.08
"""Ellipse around an aligned face and its hair, and the width of its edge, in half image sides."""


class DetailObjective(nn.Module):
    """Weighted sum of image MSEs, perceptual and identity distance, and mean squared detail.

    Terms with weight zero are not computed.

    Args:
        config: The weights.
        perceptual: Perceptual distance between float32 images.
        person: Identity distance between images.
    """

    importance: Tensor

    def __init__(
        self,
        config: TrainConfig,
        perceptual: Perceptual,
        person: PersonDescriber,
    ):
        super().__init__()
        self.perceptual, self.person = perceptual, person
        self._weights = {
            "mse": config.mse_weight,
            "lpips": config.lpips_weight,
            "identity": config.identity_weight,
            "detail": config.detail_weight,
            "full_size": config.full_size_weight,
        }
        self.register_buffer("importance", weigh_face(config.loss_px, config.margin_weight))

    def forward(
        self,
        detail: Float[Tensor, "batch bottleneck px px"],
        img: Images,
        photos: Images,
        large: Float[Tensor, "batch 3 large_height large_width"] | None = None,
    ) -> Terms:
        """Compare rendered images with their photos; each term is the mean over items.

        Args:
            detail: Output of the encoder.
            img: Images rendered at the photos' size.
            photos: The photos.
            large: Images rendered at the generator's own size; None leaves the term out.
        """
        terms: Terms = {}
        if self._weights["mse"]:
            terms["mse"] = ((img - photos).square() * self.importance).mean()
        if self._weights["lpips"]:
            with torch.no_grad():
                wanted = self.perceptual.features(photos)
            lpips = self.perceptual.distance(self.perceptual.features(img), wanted)
            terms["lpips"] = lpips.mean()
        if self._weights["identity"]:
            terms["identity"] = self.person.distance(img, photos).mean()
        if large is not None and self._weights["full_size"]:
            size = large.shape[-2:]
            wanted_large = F.interpolate(photos, size, mode="bicubic", align_corners=False)
            importance = F.interpolate(self.importance, size)
            terms["full_size"] = ((large - wanted_large).square() * importance).mean()
        if self._weights["detail"]:
            terms["detail"] = detail.square().mean()
        return terms

    def total(self, terms: Terms) -> Float[Tensor, ""]:
        """Return the weighted sum."""
        return torch.stack([self._weights[name] * term for name, term in terms.items()]).sum()


def weigh_face(size_px: int, margin: float) -> Float[Tensor, "1 1 size size"]:
    """Return pixel weights for an aligned face: 1 on face and hair, `margin` around them."""
    places = torch.linspace(-1, 1, size_px)
    y, x = torch.meshgrid(places, places, indexing="ij")
    radius = torch.hypot(x / FACE_HALF_WIDTH, (y - FACE_CENTRE_Y) / FACE_HALF_HEIGHT)
    inside = torch.sigmoid((1 - radius) / FACE_EDGE)
    return (margin + (1 - margin) * inside)[None, None]
