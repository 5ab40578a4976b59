"""Which networks a run loads; a process on another machine loads the same."""

from dataclasses import dataclass
from pathlib import Path

from model_core.errors import NoEmbedderError
from model_core.predictor import Predictor
from model_core.runtime.backends import Backend
from model_core.runtime.precision import DtypeName
from model_core.weights.cache import (
    DEFAULT_GENERATOR,
    LANDMARKS,
    SECOND_GLANCE,
    verified_path,
    weight_path,
)
from model_core.weights.shipped import DETAIL_ENCODER, EMBEDDING_NETWORK


@dataclass(frozen=True, slots=True)
class Networks:
    """What to load, and how it runs.

    Attributes:
        network: Embedding network; None takes the shipped one.
        generator: Name of the generator.
        detail: Whether to render with detail, if the generator is the default.
        device: "cpu" or a CUDA device.
        backend: As for `Predictor.load`.
        dtype: As for `Predictor.load`.
    """

    network: Path | None = None
    generator: str = DEFAULT_GENERATOR
    detail: bool = True
    device: str = "cpu"
    backend: Backend = "auto"
    dtype: DtypeName = "auto"

    def load(self, cache: Path) -> Predictor:
        """Load them; what can be compiled is not yet.

        Raises:
            NoEmbedderError: If there is no network for the generator.
            CheckpointError: If a weight file is missing or damaged.
        """
        default = self.generator == DEFAULT_GENERATOR
        network = self.network or (EMBEDDING_NETWORK if default else None)
        if network is None:
            raise NoEmbedderError(
                f"--network must name an embedding network for {self.generator}, got none"
            )
        return Predictor.load(
            cache,
            network,
            self.device,
            self.backend,
            self.generator,
            dtype=self.dtype,
            detail=DETAIL_ENCODER if default and self.detail else None,
            defer_compile=True,
        )


def face_models(cache: Path) -> tuple[Path, Path | None]:
    """Return the landmarks' file of a cache, verified, and the second detector's, if it has one.

    Raises:
        CheckpointError: If a file is missing or damaged.
    """
    second = None
    if weight_path(cache, SECOND_GLANCE).is_file():
        second = verified_path(cache, SECOND_GLANCE)
    return verified_path(cache, LANDMARKS), second
