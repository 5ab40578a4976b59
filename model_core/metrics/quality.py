"""How close reconstructions are to their faces."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_core.images import FACE_PX, area_average
from model_core.metrics.identity import is_same_person
from model_core.metrics.pixels import psnr, ssim
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.compiled import Run, defer_network
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from model_core.runtime.precision import Precision
from model_core.shapes import FaceImages, Images


@dataclass(frozen=True, slots=True)
class Quality:
    """How close a reconstruction is to its face, at 256 px.

    Attributes:
        psnr: Peak signal-to-noise ratio, dB.
        ssim: Structural similarity, at most 1.
        lpips: Perceptual distance by the network that lpips_net names, 0 is identical.
        lpips_net: Name of the perceptual distance.
        identity_similarity: Cosine of face descriptors by a recogniser on which nothing was
            trained, at most 1; None without one.
    """

    psnr: float
    ssim: float
    lpips: float
    lpips_net: str
    identity_similarity: float | None

    @property
    def same_person(self) -> bool | None:
        """Whether the two count as one person; None without a recogniser."""
        return is_same_person(self.identity_similarity)


class Comparison:
    """Compare faces with their reconstructions, area-averaged to 256 px.

    Args:
        lpips: The perceptual distance.
        judge: Compares identities; None leaves that out.
        execution: How the networks run; on a CPU they are compiled where that proves faster.
    """

    def __init__(self, lpips: Perceptual, judge: IdentityJudge | None, execution: Execution):
        self._lpips_net, self._judge = lpips.name, judge
        figures = _Figures(lpips, execution.precision)
        self._figures: Run = figures
        if execution.on_cpu and execution.compiles and execution.backend != "openvino":
            shape = (3, FACE_PX, FACE_PX)
            self._figures = defer_network(
                execution.queue, "quality", figures, figures, (shape, shape)
            )

    @torch.inference_mode()
    def __call__(self, faces: FaceImages, images: Images) -> list[Quality]:
        """Compare pair by pair, all in [-1, 1]."""
        small = area_average(images, FACE_PX)
        rows = self._figures(faces, small).tolist()
        same: list[float | None] = [None] * len(rows)
        if self._judge is not None:
            # The judge enlarges smaller images itself, by interpolation.
            shown = small if images.shape[-1] > FACE_PX else images
            same = self._judge(faces, shown).tolist()
        return [
            Quality(p, s, d, self._lpips_net, similarity)
            for (p, s, d), similarity in zip(rows, same, strict=True)
        ]


class _Figures(nn.Module):
    """PSNR, SSIM and perceptual distance, the latter in the precision's dtype."""

    def __init__(self, lpips: Perceptual, precision: Precision):
        super().__init__()
        self.lpips, self.precision = lpips, precision

    def forward(self, a: FaceImages, b: FaceImages) -> Float[Tensor, "batch 3"]:
        both = torch.cat([a, b])  # two images in one batch take four fifths of the time
        with self.precision.autocast(a.device.type):
            maps = [each.chunk(2) for each in self.lpips.features(both)]
            maps_a, maps_b = zip(*maps, strict=True)
            lpips = self.lpips.distance(maps_a, maps_b)
        return torch.stack([psnr(a, b), ssim(a, b), lpips], dim=1)
