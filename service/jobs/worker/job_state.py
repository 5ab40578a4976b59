"""A job's state as bytes: enough for this worker or another to resume it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import safetensors.torch
import torch

from model_core.inversion.detail_iterator import DetailState
from model_core.inversion.detailed import RefineState
from model_core.inversion.iterator import IteratorState
from model_core.shapes import DetailTensor
from service.jobs.payloads import Curve, load, require
from service.wire.code_files import read_metadata

TENSORS = tuple(field.name for field in fields(IteratorState) if field.name != "step")
STATE = (*TENSORS, "step")
SEARCH = "detail_search_"
"""Prefix of the tensors of the search of a detail."""


@dataclass(frozen=True, slots=True)
class JobState:
    """The state from which a job can resume.

    Attributes:
        state: The state of the run.
        curve: As in `payloads.Outcome`, up to the state's step.
        ran_s: Seconds that the job has run, over all workers.
        detail: Detail of the best code so far, for previews; not needed to resume.
        detail_fingerprint: SHA-256 of the weights that the detail belongs to, hexadecimal.
    """

    state: RefineState
    curve: Curve
    ran_s: float
    detail: DetailTensor | None = None
    detail_fingerprint: str | None = None

    def pack(self) -> bytes:
        """Serialise it, in such a way that it can be read as an `Outcome` too."""
        tensors = _tensors(self.state.codes) | {
            "curve": torch.from_numpy(self.curve),
            "ran_s": torch.tensor(self.ran_s, dtype=torch.float64),
        }
        if search := self.state.detail:
            further = {"unit": search.unit, "error": search.error}
            found = _tensors(search.search) | {
                name: tensor.cpu().contiguous() for name, tensor in further.items()
            }
            tensors |= {SEARCH + name: tensor for name, tensor in found.items()}
        metadata = {}
        if self.detail_fingerprint is not None:
            metadata["detail_fingerprint"] = self.detail_fingerprint
            if self.detail is not None:
                tensors["detail"] = self.detail.contiguous()
        return safetensors.torch.save(tensors, metadata)

    @classmethod
    def unpack(cls, data: bytes, device: str, detail_fingerprint: str | None) -> "JobState":
        """Deserialise it onto a device, without the detail for previews.

        The search of a detail is left out if it belongs to other weights, whose details mean
        something else: the run then begins it anew.

        Args:
            data: What `pack` returned.
            device: Device of the tensors.
            detail_fingerprint: SHA-256 of the weights of the run's details; None if it has none.

        Raises:
            CheckpointError: If the bytes are something else.
        """
        arrays = load(data, *STATE, "curve", "ran_s")
        state = RefineState(_state(arrays, device))
        found = {
            name.removeprefix(SEARCH): array
            for name, array in arrays.items()
            if name.startswith(SEARCH)
        }
        if found and read_metadata(data).get("detail_fingerprint") == detail_fingerprint:
            require(found, *STATE, "unit", "error")
            unit, error = (
                torch.from_numpy(np.array(found[name])).to(device) for name in ("unit", "error")
            )
            state.detail = DetailState(_state(found, device), unit, error)
        return cls(state, arrays["curve"], float(arrays["ran_s"]))


def _tensors(state: IteratorState) -> dict[str, torch.Tensor]:
    tensors = {name: getattr(state, name).cpu().contiguous() for name in TENSORS}
    return tensors | {"step": torch.tensor(state.step)}


def _state(arrays: Mapping[str, np.ndarray], device: str) -> IteratorState:
    tensors = {name: torch.from_numpy(np.array(arrays[name])).to(device) for name in TENSORS}
    return IteratorState(**tensors, step=int(arrays["step"]))
