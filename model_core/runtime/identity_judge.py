"""Measure how similar two faces' identities are, with a recogniser not used in any training."""

import logging
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.encoders.faceres import FaceRes
from model_core.images import FACE_PX, area_average
from model_core.runtime.execution import Execution
from model_core.runtime.openvino import run_items_by_openvino
from model_core.runtime.precision import FLOAT32
from model_core.shapes import FaceImages, Images

Describe = Callable[[Tensor], Tensor]

_log = logging.getLogger(__name__)


class IdentityJudge:
    """Compare faces pair by pair.

    On a CPU, OpenVINO runs the recogniser unless the backend is eager. It computes in float32
    everywhere: bfloat16 saves a few milliseconds but moves similarities by up to .04, which changes
    verdicts near the threshold.

    Args:
        network: Frozen.
        execution: How it runs.
    """

    def __init__(self, network: FaceRes, execution: Execution):
        self._device = execution.device
        describe = _Describe(network.to(execution.device))
        self._describe: Describe = describe
        if execution.by_openvino:
            self._describe = _convert(describe)

    @torch.inference_mode()
    def __call__(
        self, a: Images, b: Float[Tensor, "batch 3 other_height other_width"]
    ) -> Float[Tensor, " batch"]:
        """Compute the cosine of descriptors: 1 is the same image, strangers are at about .37.

        Args:
            a: Aligned faces in [-1, 1], of any size.
            b: Faces to compare with, one for each, of any size too.
        """
        faces = torch.cat([self._to_face_px(a), self._to_face_px(b)])
        described_a, described_b = self._describe(faces).chunk(2)
        return F.cosine_similarity(described_a, described_b)

    @torch.inference_mode()
    def describe(self, faces: Images) -> Float[Tensor, "batch features"]:
        """Compute the descriptors that are compared, normalised: dot products are cosines.

        Args:
            faces: Aligned faces in [-1, 1], of any size.
        """
        return F.normalize(self._describe(self._to_face_px(faces)))

    def _to_face_px(self, img: Images) -> FaceImages:
        img = img.to(self._device).float()
        if img.shape[-1] < FACE_PX:
            return F.interpolate(img, (FACE_PX, FACE_PX), mode="bilinear", align_corners=False)
        return area_average(img, FACE_PX)


class _Describe(nn.Module):
    """Faces to their descriptors."""

    def __init__(self, network: FaceRes):
        super().__init__()
        self.network = network

    def forward(self, faces: Float[Tensor, "n 3 256 256"]) -> Float[Tensor, "n 1024"]:
        return self.network.descriptor(faces)


def _convert(describe: _Describe) -> Describe:
    """Have OpenVINO describe faces, if it can."""
    try:
        return run_items_by_openvino(describe, FLOAT32, torch.zeros(1, 3, FACE_PX, FACE_PX))
    except RuntimeError:
        _log.exception("OpenVINO cannot run the identity judge here: using plain torch")
        return describe
