"""The service's settings, read from WPLUS_ variables by `python -m service` and by nothing else."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from model_core.checkpoints.layout import cache_folder, weight_path

PREFIX = "WPLUS_"
WEIGHTS = Path(__file__).parents[1] / "weights"


class Settings(BaseSettings):
    """All that can be set; each field is the variable of its name with the prefix WPLUS_."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What the log holds."
    )

    cache: Path = Field(
        default_factory=lambda: cache_folder(None),
        description="Folder of the converted weight packs.",
    )
    network: Path = Field(
        default=WEIGHTS / "embedding.safetensors", description="Embedding network."
    )
    device: str = Field(
        default="cpu", description="Torch device of the predictor: cpu, cuda, cuda:1."
    )
    backend: Literal["auto", "eager", "compile", "openvino"] = Field(
        default="auto", description="How the generator runs."
    )

    max_upload_bytes: int = Field(default=20_000_000, ge=1024, description="Largest photo or code.")
    max_pixels: int = Field(default=40_000_000, ge=65_536, description="Most pixels of a photo.")
    min_side_px: int = Field(default=64, ge=1, description="Shortest side of a photo.")

    max_inflight: int = Field(
        default=32, ge=1, description="Requests served at once; more get 429."
    )
    max_films: int = Field(default=2, ge=1, description="Morphs of many frames made at once.")
    queue_size: int = Field(default=64, ge=1, description="Entries that wait for one operation.")
    max_batch: int = Field(default=4, ge=1, description="Largest batch on the device.")
    worker_threads: int = Field(
        default=2, ge=1, description="Threads that decode, align and encode."
    )
    deadline_s: float = Field(default=30.0, gt=0, description="Time a request may take; then 504.")
    retry_after_s: int = Field(default=1, ge=1, description="Retry-After of 429 and 503 answers.")
    stall_s: float = Field(
        default=120.0, gt=0, description="A device call longer than this is a hang."
    )
    shutdown_grace_s: int = Field(
        default=30, ge=1, description="Time to finish requests when stopping."
    )

    latent_ttl_s: float = Field(
        default=3600.0, gt=0, description="Life of a latent id since last use."
    )
    latent_capacity: int = Field(default=2000, ge=1, description="Latent ids kept at the most.")

    @property
    def landmark_model(self) -> Path:
        """Path of dlib's 68-point landmark predictor in the cache."""
        return weight_path(self.cache, "shape_predictor_68_face_landmarks")


class UnknownVariableError(ValueError):
    """A WPLUS_ variable names no setting."""


def check_names(names: Iterable[str]) -> None:
    """Refuse environment variables with our prefix that name no setting.

    Raises:
        UnknownVariableError: If one does; the message names the nearest known ones.
    """
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    unknown = sorted(n for n in names if n.upper().startswith(PREFIX) and n.upper() not in known)
    if not unknown:
        return
    hints = []
    for name in unknown:
        near = difflib.get_close_matches(name.upper(), known, n=1)
        hints.append(f"{name} (did you mean {near[0]}?)" if near else name)
    raise UnknownVariableError(f"WPLUS_ variables must name a setting, got {', '.join(hints)}")
