"""The embedding network's objective: the error of its codes and of their images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_core.inversion.rendering import SmallImages
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.backends import compile_lazily
from model_core.shapes import Codes, Images
from model_core.training.config import TrainConfig
from model_core.training.losses.code_losses import SensitivityLoss, StyleLoss
from model_core.training.losses.identity import PersonDescriber

Terms = dict[str, Float[Tensor, ""]]


class Objective(nn.Module):
    """Equations 4 to 7 of Guan et al. 2020, with code errors weighted by effect on the image.

    Terms with weight zero are not computed.

    Args:
        config: The weights of the terms, and `compile`.
        style: Compares codes by their styles.
        sensitivity: Compares codes by the image's first-order change.
        w_std: Standard deviation of the generator's W, (w_dim,).
        render: Renders codes at the size of the loss.
        perceptual: Perceptual distance between float32 images.
        person: Identity distance between images; required if it has a weight.
    """

    w_std: Tensor

    def __init__(
        self,
        config: TrainConfig,
        style: StyleLoss,
        sensitivity: SensitivityLoss,
        w_std: Float[Tensor, " w_dim"],
        render: SmallImages,
        perceptual: Perceptual,
        person: PersonDescriber | None = None,
    ):
        super().__init__()
        self.style, self.sensitivity = style, sensitivity
        self.render, self.perceptual, self.person = render, perceptual, person
        self.register_buffer("w_std", w_std.clone())
        self._weights = {
            "style": config.style_weight,
            "sensitivity": config.sensitivity_weight,
            "latent": config.latent_weight,
            "mse": config.mse_weight,
            "lpips": config.lpips_weight,
            "identity": config.identity_weight,
        }
        self._images = compile_lazily(self._compare) if config.compile else self._compare

    def codes(self, predicted: Codes, ws: Codes) -> Terms:
        """Compare predicted codes with known ones; each term is the mean over items."""
        terms: Terms = {}
        if self._weights["style"]:
            terms["style"] = self.style(predicted, ws).mean()
        if self._weights["sensitivity"]:
            terms["sensitivity"] = self.sensitivity(predicted, ws).mean()
        if self._weights["latent"]:
            terms["latent"] = ((predicted - ws) / self.w_std).square().mean()
        return terms

    def images(self, predicted: Codes, target: Images) -> Terms:
        """Compare the codes' images with targets in [-1, 1] at the size of the loss."""
        if not any(self._weights[name] for name in ("mse", "lpips", "identity")):
            return {}
        return self._images(predicted, target)

    def total(self, terms: Terms) -> Float[Tensor, ""]:
        """Return the weighted sum."""
        return torch.stack([self._weights[name] * term for name, term in terms.items()]).sum()

    def _compare(self, ws: Tensor, target: Tensor) -> Terms:
        img = self.render(ws)
        terms: Terms = {}
        if self._weights["mse"]:
            terms["mse"] = (img - target).square().mean(dim=(1, 2, 3)).mean()
        if self._weights["lpips"]:
            with torch.no_grad():
                wanted = self.perceptual.features(target)
            lpips = self.perceptual.distance(self.perceptual.features(img), wanted)
            terms["lpips"] = lpips.mean()
        if self._weights["identity"] and self.person:
            terms["identity"] = self.person.distance(img, target).mean()
        return terms
