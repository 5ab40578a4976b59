"""What Redis stores of a job as bytes: its input, saved states and result; all safetensors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import safetensors
import safetensors.numpy
import torch
from jaxtyping import Float32

from model_core.errors import CheckpointError
from model_core.shapes import DetailTensor, SquarePixels, Ws
from service.wire.code_files import read_metadata

CURVE = ("step", "loss", "psnr", "lpips")
Curve = Float32[np.ndarray, "points 4"]


@dataclass(frozen=True, slots=True)
class JobInput:
    """The input of a job.

    Attributes:
        target: The face that the image should match, RGB.
        ws: The code to start from.
    """

    target: SquarePixels
    ws: Ws

    def pack(self) -> bytes:
        """Serialise it."""
        target = np.ascontiguousarray(self.target)
        return safetensors.numpy.save({"target": target, "ws": _array(self.ws)})

    @classmethod
    def unpack(cls, data: bytes) -> "JobInput":
        """Deserialise it.

        Raises:
            CheckpointError: If the bytes are something else.
        """
        tensors = load(data, "target", "ws")
        return cls(tensors["target"], torch.from_numpy(tensors["ws"]))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job has reached so far.

    Attributes:
        ws: The best code so far.
        curve: For every step its number, loss, PSNR in dB and perceptual distance.
        detail: What the code still leaves out of the face; None if not computed.
        detail_fingerprint: SHA-256 of the weights that the detail belongs to, hexadecimal.
    """

    ws: Ws
    curve: Curve
    detail: DetailTensor | None = None
    detail_fingerprint: str | None = None

    def pack(self) -> bytes:
        """Serialise it."""
        tensors = {"best_ws": _array(self.ws)[None], "curve": self.curve}
        metadata = {}
        if self.detail is not None and self.detail_fingerprint is not None:
            tensors["detail"] = self.detail.numpy()
            metadata["detail_fingerprint"] = self.detail_fingerprint
        return safetensors.numpy.save(tensors, metadata)

    @classmethod
    def unpack(cls, data: bytes) -> "Outcome":
        """Deserialise it; also reads these tensors from a saved state.

        Raises:
            CheckpointError: If the bytes are something else.
        """
        tensors = load(data, "best_ws", "curve")
        ws, curve = torch.from_numpy(tensors["best_ws"][0]), tensors["curve"]
        if "detail" not in tensors:
            return cls(ws, curve)
        fingerprint = read_metadata(data).get("detail_fingerprint")
        return cls(ws, curve, torch.from_numpy(tensors["detail"]), fingerprint)


def load(data: bytes, *names: str) -> dict[str, np.ndarray]:
    """Read tensors, the named ones of which are required.

    Raises:
        CheckpointError: If one is missing, or the bytes are something else.
    """
    try:
        tensors: dict[str, np.ndarray] = safetensors.numpy.load(data)
    except safetensors.SafetensorError as err:
        raise CheckpointError(f"blob must be safetensors, got {err}") from err
    require(tensors, *names)
    return tensors


def require(tensors: Mapping[str, np.ndarray], *names: str) -> None:
    """Check that the named tensors are there.

    Raises:
        CheckpointError: If one is missing.
    """
    missing = [name for name in names if name not in tensors]
    if missing:
        raise CheckpointError(f"blob must hold {', '.join(names)}, got no {', '.join(missing)}")


def _array(ws: Ws) -> np.ndarray:
    return np.ascontiguousarray(ws.float().numpy())
