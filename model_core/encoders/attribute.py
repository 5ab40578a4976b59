"""The attribute encoder: ResNet-50 up to its fifth stage."""

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import resnet50

ATTRIBUTE_CHANNELS = 2048
ATTRIBUTE_STRIDE = 32


class AttributeEncoder(nn.Module):
    """f_attr = E_attr(x): pose, expression, hair, light, background.

    The stages keep torchvision's names, so that its ResNet-50 weights load as they are.
    Source: Guan et al. 2020, section 3.2; He et al. 2016.
    """

    def __init__(self) -> None:
        super().__init__()
        trunk = resnet50(weights=None, zero_init_residual=True)
        self.stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)
        self.layer1, self.layer2 = trunk.layer1, trunk.layer2
        self.layer3, self.layer4 = trunk.layer3, trunk.layer4

    def forward(
        self, img: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 2048 rows columns"]:
        """Encode images in [-1, 1]; 256 px give 8x8 features."""
        x = self.layer2(self.layer1(self.stem(img)))
        return self.layer4(self.layer3(x))  # type: ignore[no-any-return]
