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
    """All settings; each field is read from the variable of its name with the prefix WPLUS_."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )

    cache: Path = Field(
        default_factory=lambda: cache_folder(None),
        description="Folder of the converted weights.",
    )
    network: Path | None = Field(
        default=None,
        description="Embedding network or converted encoder; if unset, the generator's own.",
    )
    polish_head: Path = Field(
        default=image_head(128),
        description="Image head of the default generator for polishing codes.",
    )
    refine_head: Path = Field(
        default=image_head(256),
        description="Image head of the default generator for the first refine steps.",
    )
    detail_encoder: Path = Field(
        default=DETAIL_ENCODER,
        description="Detail encoder of the default generator, which keeps what codes leave out.",
    )
    generator: str = Field(
        default=DEFAULT_GENERATOR,
        description="Generator: the default one, or the name of a converted one.",
    )
    directions: Path | None = Field(
        default=None, description="Folder of further directions for /edit."
    )
    device: Device = Field(
        default="cpu", description="Torch device of the predictor: cpu, cuda, cuda:1."
    )
    backend: Literal["auto", "eager", "compile", "openvino"] = Field(
        default="auto",
        description="How networks run: auto takes the fastest way here; eager is plain torch.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Precision of the networks: float32, bfloat16, or auto, which probes the CPU.",
    )

    log_format: LogFormat = Field(default="text", description="text for people, json for machines.")
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port for /metrics alone; if unset, it is served with the rest.",
    )

    api_keys: Path | None = Field(
        default=None, description="File of API key owners and SHA-256; if unset, none is required."
    )
    insecure: bool = Field(
        default=False, description="Allow listening beyond this machine without API keys."
    )
    rate_limit: RateLimit | None = Field(
        default=None,
        description="Requests for work per caller, e.g. 10/second;300/minute; without keys all "
        "callers count as one.",
    )

    c2pa_certificate: Path | None = Field(
        default=None,
        description="PEM file of a certificate chain: images are then signed (docs/provenance.md).",
    )
    c2pa_key: Path | None = Field(
        default=None, description="PEM file of the certificate's private key."
    )
    c2pa_timestamp_url: str | None = Field(
        default=None, description="Time-stamp authority that each signature asks; none if unset."
    )

    max_upload_bytes: ByteSize = Field(
        default=ByteSize(20_000_000),
        ge=1024,
        description="Largest photo or code, e.g. 20000000, 20MB or 20MiB.",
    )
    max_pixels: int = Field(
        default=51_000_000,
        ge=65_536,
        description="Most pixels in a photo; four times as many in a JPEG like those from phones.",
    )
    min_side_px: int = Field(default=64, ge=1, description="Shortest side of a photo.")

    max_inflight: int = Field(
        default=32, ge=1, description="Most requests served at once; further ones get 429."
    )
    max_images: int = Field(
        default=4, ge=2, le=64, description="Most photos in one request to /embed or /morph."
    )
    max_animations: int = Field(
        default=2, ge=1, description="Morphs of many frames run at once; as many more may wait."
    )
    max_whole_photos: int = Field(
        default=2,
        ge=1,
        description="Requests for whole photos run at once, each with up to 300 MB for 25 "
        "megapixels; as many more may wait.",
    )
    max_whole_pixels: int = Field(
        default=25_000_000,
        ge=65_536,
        description="Most pixels in a photo that is answered as a whole.",
    )
    queue_size: int = Field(default=64, ge=1, description="Most entries waiting for one operation.")
    max_batch: int = Field(
        default=4, ge=1, description="Largest batch on a GPU; a CPU runs items one by one."
    )
    worker_threads: int = Field(
        default=2, ge=1, description="Number of threads that decode, align and encode."
    )
    deadline_s: float = Field(
        default=30.0, gt=0, description="Seconds an answer may take after the upload; then 504."
    )
    upload_s: float = Field(default=60.0, gt=0, description="Seconds an upload may take; then 408.")
    retry_after_s: int = Field(default=1, ge=1, description="Retry-After of 429 and 503 answers.")
    stall_s: float = Field(
        default=120.0, gt=0, description="Seconds after which a device call counts as hung."
    )
    shutdown_grace_s: int = Field(
        default=30, ge=1, description="Seconds to finish requests when stopping."
    )

    latent_ttl_s: float = Field(
        default=3600.0, gt=0, description="Seconds that a latent id is kept after its last use."
    )
    latent_capacity: int = Field(default=2000, ge=1, description="Most latent ids kept.")
    detail_capacity: int = Field(
        default=256,
        ge=1,
        description="Most latent ids with a detail kept, of 1 MB each.",
    )

    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis or Valkey for jobs and latent ids; unset, an embedded one keeps jobs.",
    )
    jobs: bool = Field(default=True, description="Offer /refine.")
    shared_device: str = Field(
        default="", description="Name of a device on which workers yield to requests."
    )
    job_queue_size: int = Field(default=100, ge=1, description="Most jobs waiting; more get 429.")
    job_ttl_s: int = Field(default=86_400, ge=1, description="Seconds an ended job is kept.")
    job_photos: int = Field(
        default=20,
        ge=0,
        description="Most photos of an API key kept for results with output=photo; the oldest goes "
        "first.",
    )
    job_lease_s: float = Field(
        default=30.0, gt=0, description="Seconds of silence until another worker takes over a job."
    )
    job_beat_s: float = Field(default=1.0, gt=0, description="Seconds between a job's heartbeats.")
    job_save_s: float = Field(default=10.0, gt=0, description="Seconds between saves of a job.")
    films: Literal["off"] | Path | None = Field(
        default=None,
        description="Folder of films, which the service and its workers share; films in the cache "
        "if unset, off takes no films.",
    )
    max_film_bytes: ByteSize = Field(
        default=ByteSize(268_435_456), ge=1024, description="Largest film, e.g. 256MiB."
    )
    max_films_bytes: ByteSize = Field(
        default=ByteSize(21_474_836_480),
        ge=1024,
        description="Most bytes of films on disk, those being edited counted three times.",
    )
    film_queue_size: int = Field(default=10, ge=1, description="Most films waiting; more get 429.")
    film_upload_s: float = Field(
        default=600.0, gt=0, description="Seconds a film's upload may take; then 408."
    )
    film_turn_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds a film is edited before it makes way for refine jobs.",
    )
    worker_metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of a worker's /metrics; if unset, none."
    )

    @property
    def films_folder(self) -> Path | None:
        """Folder of films; None if there are to be none."""
        if self.films == "off" or not self.jobs:
            return None
        return self.films_in_cache if self.films is None else Path(self.films)

    @property
    def films_in_cache(self) -> Path:
        """Folder of films where none is named."""
        return self.cache / "films"

    @property
    def network_path(self) -> Path | None:
        """Path of the network that embeds photos for the generator; None if none is known.

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
        """Path of the head for polishing; None if the generator is not the default one."""
        return self.polish_head if self.generator == DEFAULT_GENERATOR else None

    @property
    def detail_encoder_path(self) -> Path | None:
        """Path of the detail encoder; None if the generator is not the default one."""
        return self.detail_encoder if self.generator == DEFAULT_GENERATOR else None

    @property
    def refine_head_path(self) -> Path | None:
        """Path of the head for the first refine steps; None for any but the default generator."""
        return self.refine_head if self.generator == DEFAULT_GENERATOR else None


class UnknownVariableError(ValueError):
    """A WPLUS_ variable names no setting."""


class ExposedError(ValueError):
    """The service would listen beyond this machine without API keys."""


def check_exposure(settings: Settings) -> None:
    """Refuse to listen beyond this machine without keys, unless that is explicitly allowed.

    Raises:
        ExposedError: If the settings would do that.
    """
    if settings.api_keys is None and not settings.insecure and not _is_loopback(settings.host):
        raise ExposedError(
            f"{PREFIX}HOST must be a loopback address while no keys are required, got "
            f"{settings.host}: set {PREFIX}API_KEYS, or {PREFIX}INSECURE=1 if a proxy in front "
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
        # Compared without the prefix, which all of them share.
        near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), fields, n=1)
        hints.append(f"{name} (did you mean {PREFIX}{near[0]}?)" if near else name)
    raise UnknownVariableError(f"WPLUS_ variables must name a setting, got {', '.join(hints)}")
