"""A job's state as bytes: enough for this worker or another to resume it."""

from dataclasses import dataclass, fields

import numpy as np
import safetensors.torch
import torch

from model_core.inversion.iterator import IteratorState
from service.jobs.payloads import Curve, load

TENSORS = tuple(field.name for field in fields(IteratorState) if field.name != "step")


@dataclass(frozen=True, slots=True)
class JobState:
    """The state from which a job can resume.

    Attributes:
        state: The iterator's state.
        curve: As in `payloads.Outcome`, up to the state's step.
        ran_s: Seconds that the job has run, over all workers.
    """

    state: IteratorState
    curve: Curve
    ran_s: float

    def pack(self) -> bytes:
        """Serialise it."""
        tensors = {name: getattr(self.state, name).cpu().contiguous() for name in TENSORS}
        tensors |= {
            "curve": torch.from_numpy(self.curve),
            "step": torch.tensor(self.state.step),
            "ran_s": torch.tensor(self.ran_s, dtype=torch.float64),
        }
        return safetensors.torch.save(tensors)

    @classmethod
    def unpack(cls, data: bytes, device: str) -> "JobState":
        """Deserialise it onto a device.

        Raises:
            CheckpointError: If the bytes are something else.
        """
        arrays = load(data, *TENSORS, "curve", "step", "ran_s")
        tensors = {name: torch.from_numpy(np.array(arrays[name])).to(device) for name in TENSORS}
        state = IteratorState(**tensors, step=int(arrays["step"]))
        return cls(state, arrays["curve"], float(arrays["ran_s"]))
