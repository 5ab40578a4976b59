"""Identity distance between images, by the recogniser inside the embedding network.

The evaluation uses another recogniser, FaceRes, which no loss uses.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional as F

from model_core.encoders.identity import DlibIdentity
from model_core.images import FACE_PX
from model_core.networks.loading import load_identity
from model_core.shapes import Images


class PersonDescriber(nn.Module):
    """Compute identity descriptors, differentiable in the image.

    Args:
        identity: A frozen recogniser of aligned faces at 256 px.
    """

    def __init__(self, identity: nn.Module):
        super().__init__()
        self.identity = identity

    def forward(self, img: Images) -> Float[torch.Tensor, "batch d"]:
        """Return descriptors of aligned faces in [-1, 1], of any size."""
        if img.shape[-1] != FACE_PX:
            img = F.interpolate(img, (FACE_PX, FACE_PX), mode="bilinear", align_corners=False)
        identity = self.identity
        describe = identity.descriptor if isinstance(identity, DlibIdentity) else identity
        descriptors: torch.Tensor = describe(img)
        return descriptors

    def distance(self, img: Images, target: Images) -> Float[torch.Tensor, " batch"]:
        """Return the squared distance between descriptors; no gradient reaches the target."""
        with torch.no_grad():
            person = self(target)
        difference: torch.Tensor = self(img) - person
        return difference.float().square().sum(1)


def load_describer(
    cache: Path, name: str, device: torch.device, dtype: torch.dtype
) -> PersonDescriber:
    """Load a frozen recogniser by name.

    Raises:
        CheckpointError: If it is missing, damaged or not a recogniser.
    """
    return PersonDescriber(load_identity(cache, name).to(device, dtype))
