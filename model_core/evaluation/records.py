"""Records of one method on one face, kept on disk so that a stopped evaluation can resume."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from model_core.atomic_file import write_file

_TENSORS = ("figures", "images", "ws")


@dataclass(frozen=True, slots=True)
class Record:
    """One method's run on one face. Metrics and images are of the best code so far.

    Attributes:
        steps: Step counts at which the image was measured, increasing.
        figures: Metrics, (steps, measures).
        marks: Step counts at which the image was kept.
        images: (marks, 3, size, size).
        ws: The final code.
        start_s: Seconds to compute the initial code.
        step_s: Median seconds per step; 0 without steps.
        total_s: Total seconds, without measuring.
    """

    steps: list[int]
    figures: Float[Tensor, "steps measures"]
    marks: list[int]
    images: UInt8[Tensor, "marks 3 size size"]
    ws: Float[Tensor, "1 num_ws w_dim"]
    start_s: float
    step_s: float
    total_s: float

    def after(self, step: int) -> Float[Tensor, " measures"]:
        """Return the metrics after some steps; -1 means the last."""
        return self.figures[-1 if step == -1 else self.steps.index(step)]

    def image(self, step: int = -1) -> UInt8[Tensor, "3 size size"]:
        """Return the image after some steps; -1 means the last."""
        return self.images[-1 if step == -1 else self.marks.index(step)]


def digest(facts: Mapping[str, Any], face: UInt8[Tensor, "3 height width"]) -> str:
    """Hash everything a record depends on."""
    text = json.dumps(facts, sort_keys=True).encode()
    return hashlib.sha256(text + face.contiguous().numpy().tobytes()).hexdigest()


def save_record(path: Path, record: Record, key: str) -> None:
    """Write a record atomically."""
    numbers = {name: getattr(record, name) for name in ("start_s", "step_s", "total_s")}
    facts = {"key": key, "steps": record.steps, "marks": record.marks} | numbers
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: getattr(record, name).contiguous() for name in _TENSORS}
    write_file(path, save(tensors, {"record": json.dumps(facts)}))


def load_record(path: Path, key: str) -> Record | None:
    """Read a record; return None if it is missing or was made with other settings."""
    try:
        with safe_open(path, "pt") as stored:
            facts = json.loads(stored.metadata()["record"])
            if facts.pop("key") != key:
                return None
            tensors: dict[str, Any] = {n: stored.get_tensor(n) for n in _TENSORS}
            return Record(**facts, **tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
