"""How the networks of one process run: device, backend, precision, and what is compiled when."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model_core.errors import InvalidInputError
from model_core.runtime.backends import Backend, can_compile
from model_core.runtime.background import CompileQueue
from model_core.runtime.precision import FLOAT32, Precision, choose_precision
from model_core.runtime.verdicts import Verdicts

EAGER_FLOAT32 = Precision(FLOAT32.dtype, "the eager backend is plain float32")


@dataclass(frozen=True)
class Execution:
    """Where and how every network of a process runs.

    Attributes:
        device: "cpu" or a CUDA device.
        backend: eager is plain torch throughout; compile and openvino say how the generator runs;
            auto uses for every network whatever was faster on this machine.
        precision: Precision of the networks.
        queue: Queue of the compiled forms that are deferred.
    """

    device: str = "cpu"
    backend: Backend = "auto"
    precision: Precision = FLOAT32
    queue: CompileQueue = field(default_factory=CompileQueue)

    @classmethod
    def choose(
        cls,
        device: str = "cpu",
        backend: Backend = "auto",
        dtype: str = "auto",
        verdicts: Path | None = None,
        weights: Mapping[str, str] | None = None,
    ) -> "Execution":
        """Decide how networks run on a device.

        Args:
            device: "cpu" or a CUDA device.
            backend: As in the class.
            dtype: auto is float32 for the eager backend; for others, a probe of the processor
                decides.
            verdicts: Folder that remembers which forms were faster; None remembers nothing.
            weights: Digests of the weights, on which verdicts depend.
        Raises:
            InvalidInputError: If the backend cannot run on the device, or dtype is no `DtypeName`.
        """
        if backend == "openvino" and device != "cpu":
            raise InvalidInputError(f"backend must not be openvino on {device}, got openvino")
        plain = backend == "eager" and dtype == "auto"
        precision = EAGER_FLOAT32 if plain else choose_precision(device, dtype)
        kept = Verdicts(verdicts, device, precision.name, weights or {})
        return cls(device, backend, precision, CompileQueue(kept))

    @property
    def on_cpu(self) -> bool:
        """Whether the device is the CPU."""
        return self.device == "cpu"

    @functools.cached_property
    def compiles(self) -> bool:
        """Whether networks are compiled: the backend is not eager, and a compiler is available."""
        return self.backend != "eager" and can_compile(self.device)

    @property
    def by_openvino(self) -> bool:
        """Whether OpenVINO runs the networks that it can."""
        return self.on_cpu and self.backend != "eager"
