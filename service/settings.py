"""The service's settings, read from WPLUS_ variables by `python -m service` and by nothing else."""

import difflib
import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from limits import parse_many
from pydantic import AfterValidator, ByteSize, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from model_core.weights.cache import DEFAULT_GENERATOR, cache_folder, encoder_path
from model_core.weights.shipped import DETAIL_ENCODER, EMBEDDING_NETWORK, image_head
from service.observability.logs import LogFormat

PREFIX = "WPLUS_"
DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?", re.ASCII)


def _rate_limit(text: str) -> str:
    parse_many(text)
    return text


def _device(text: str) -> str:
    if not DEVICE.fullmatch(text):
        raise ValueError("must be cpu, cuda or cuda:N")
    return text


RateLimit = Annotated[str, AfterValidator(_rate_limit)]
Device = Annotated[str, AfterValidator(_device)]


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
    network: Path | None = Field(
        default=None,
        description="Embedding network or converted encoder; unset, the generator's own.",
    )
    polish_head: Path = Field(
        default=image_head(128),
        description="Image head of the default generator, by which codes are polished.",
    )
    refine_head: Path = Field(
        default=image_head(256),
        description="Image head of the default generator, by which refining begins.",
    )
    detail_encoder: Path = Field(
        default=DETAIL_ENCODER,
        description="Detail encoder of the default generator, which keeps what codes leave out.",
    )
    generator: str = Field(
        default=DEFAULT_GENERATOR,
        description="Generator: the default, or a name given to checkpoints convert.",
    )
    directions: Path | None = Field(
        default=None, description="Folder of directions for /edit, beside those shipped."
    )
    device: Device = Field(
        default="cpu", description="Torch device of the predictor: cpu, cuda, cuda:1."
    )
    backend: Literal["auto", "eager", "compile", "openvino"] = Field(
        default="auto",
        description="How networks run: what is fastest here; eager is plain torch for all.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="What networks compute in: float32, bfloat16, or what a probe says.",
    )

    log_format: LogFormat = Field(default="text", description="text for people, json for machines.")
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of /metrics alone; unset, it is with the rest.",
    )

    api_keys: Path | None = Field(
        default=None, description="File of API keys' owners and SHA-256; unset, none is asked for."
    )
    insecure: bool = Field(
        default=False, description="Listen beyond this machine without API keys."
    )
    rate_limit: RateLimit | None = Field(
        default=None,
        description="Requests for work of one caller, as 10/second;300/minute; without keys all "
        "callers are one.",
    )

    max_upload_bytes: ByteSize = Field(
        default=ByteSize(20_000_000),
        ge=1024,
        description="Largest photo or code, as 20000000, 20MB or 20MiB.",
    )
    max_pixels: int = Field(
        default=51_000_000,
        ge=65_536,
        description="Most pixels of a photo; four times as many of a JPEG as phones write it.",
    )
    min_side_px: int = Field(default=64, ge=1, description="Shortest side of a photo.")

    max_inflight: int = Field(
        default=32, ge=1, description="Requests served at once; more get 429."
    )
    max_animations: int = Field(
        default=2, ge=1, description="Morphs of many frames made at once; as many more may wait."
    )
    queue_size: int = Field(default=64, ge=1, description="Entries that wait for one operation.")
    max_batch: int = Field(
        default=4, ge=1, description="Largest batch on a GPU; a CPU runs items one by one."
    )
    worker_threads: int = Field(
        default=2, ge=1, description="Threads that decode, align and encode."
    )
    deadline_s: float = Field(
        default=30.0, gt=0, description="Time an answer may take once the upload is in; then 504."
    )
    upload_s: float = Field(default=60.0, gt=0, description="Time an upload may take; then 408.")
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
    detail_capacity: int = Field(
        default=256,
        ge=1,
        description="Latent ids with a detail kept at the most, of 1 MB each.",
    )

    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis or Valkey of jobs and latent ids; unset, an own one keeps the jobs.",
    )
    jobs: bool = Field(default=True, description="Offer /refine.")
    shared_device: str = Field(
        default="", description="Name of a device on which workers make way for requests."
    )
    job_queue_size: int = Field(default=100, ge=1, description="Jobs that wait; more get 429.")
    job_ttl_s: int = Field(default=86_400, ge=1, description="Life of a job once it has ended.")
    job_lease_s: float = Field(
        default=30.0, gt=0, description="Silence after which another worker takes a job over."
    )
    job_beat_s: float = Field(default=1.0, gt=0, description="Time between a job's heartbeats.")
    job_save_s: float = Field(default=10.0, gt=0, description="Time between saves of a job.")
    worker_metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of a worker's /metrics; unset, none."
    )

    @property
    def network_path(self) -> Path | None:
        """Path of what embeds photos for the generator; None if nothing is known to.

        Raises:
            CheckpointError: If the generator's name is not a plain one.
        """
        if self.network is not None:
            return self.network
        if self.generator == DEFAULT_GENERATOR:
            return EMBEDDING_NETWORK
        converted = encoder_path(self.cache, self.generator)
        return converted if converted.is_file() else None

    @property
    def polish_head_path(self) -> Path | None:
        """Path of the head that polishes; None where the generator is not the default one."""
        return self.polish_head if self.generator == DEFAULT_GENERATOR else None

    @property
    def detail_encoder_path(self) -> Path | None:
        """Path of the detail encoder; None where the generator is not the default one."""
        return self.detail_encoder if self.generator == DEFAULT_GENERATOR else None

    @property
    def refine_head_path(self) -> Path | None:
        """Path of the head that refines first; None where the generator is not the default one."""
        return self.refine_head if self.generator == DEFAULT_GENERATOR else None


class UnknownVariableError(ValueError):
    """A WPLUS_ variable names no setting."""


class ExposedError(ValueError):
    """The service would listen beyond this machine, open to all."""


def check_exposure(settings: Settings) -> None:
    """Refuse to listen beyond this machine without keys, unless told that this is meant.

    Raises:
        ExposedError: If the settings would do that.
    """
    if settings.api_keys is None and not settings.insecure and not _is_loopback(settings.host):
        raise ExposedError(
            f"{PREFIX}HOST must be a loopback address where no keys are asked for, got "
            f"{settings.host}: set {PREFIX}API_KEYS, or {PREFIX}INSECURE=1 if something in front "
            "keeps strangers out"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_names(names: Iterable[str]) -> None:
    """Refuse environment variables with our prefix that name no setting.

    Raises:
        UnknownVariableError: If one does; the message names the nearest known ones.
    """
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    unknown = sorted(n for n in names if n.upper().startswith(PREFIX) and n.upper() not in known)
    if not unknown:
        return
    fields = [field.upper() for field in Settings.model_fields]
    hints = []
    for name in unknown:
        # The prefix is left out: it is alike in all of them.
        near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), fields, n=1)
        hints.append(f"{name} (did you mean {PREFIX}{near[0]}?)" if near else name)
    raise UnknownVariableError(f"WPLUS_ variables must name a setting, got {', '.join(hints)}")
