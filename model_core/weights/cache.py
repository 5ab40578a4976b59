"""Locate the files of a cache, and check whether they are present."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model_core.errors import CheckpointError
from model_core.weights.files import file_digest, read_sidecar
from model_core.weights.pack_types import Member, Output, Pack
from model_core.weights.registry import PACKS

DEFAULT_CACHE = "~/.cache/wplus"
DEFAULT_GENERATOR = "mobilestylegan-ffhq-1024"
LANDMARKS = "shape_predictor_68_face_landmarks"
DEFAULT_IDENTITY = "dlib-resnet29"
DEFAULT_JUDGE = "faceres"
SECOND_GLANCE = "face_detection_full_range"

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")

State = Literal["present", "missing", "outdated", "damaged"]


@dataclass(frozen=True, slots=True)
class OutputStatus:
    """State of one file in a cache, as far as known without hashing.

    Attributes:
        output: The output.
        state: present; missing; outdated (made by another version of the conversion); damaged
            (of another size, or without a readable sidecar).
    """

    output: Output
    state: State


def cache_folder(setting: str | None) -> Path:
    """Return the cache's folder for a value of WPLUS_CACHE; unset and empty mean the default."""
    return Path(setting or DEFAULT_CACHE).expanduser()


def weight_path(cache: Path, name: str) -> Path:
    """Return the path at which a cache keeps the output of that name; it need not exist yet.

    Raises:
        CheckpointError: If no pack has an output of that name.
    """
    files = {output.name: output.file for _, output in all_outputs()}
    if name not in files:
        raise CheckpointError(f"name must be one of {sorted(files)}, got {name!r}")
    return cache / "weights" / files[name]


def verified_path(cache: Path, name: str) -> Path:
    """Return the path of the output of that name, its bytes checked against the pinned digest.

    Raises:
        CheckpointError: If it is missing, or its digest is not the pinned one.
    """
    path = weight_path(cache, name)
    (pinned,) = (output.sha256 for _, output in all_outputs() if output.file == path.name)
    if not path.is_file():
        raise CheckpointError(
            f"{path} must be a file, got none; `python -m model_core.checkpoints pull` fetches it"
        )
    if (digest := file_digest(path)) != pinned:
        raise CheckpointError(
            f"{path} must have SHA-256 {pinned}, got {digest}; delete it and run "
            "`python -m model_core.checkpoints pull`"
        )
    return path


def converted_path(cache: Path, name: str) -> Path:
    """Return the path at which a cache keeps the network that a user converted under a name.

    Raises:
        CheckpointError: If the name is not a plain one, or is taken by a pack's output.
    """
    if not PLAIN_NAME.fullmatch(name):
        raise CheckpointError(f"name must be letters, digits, dots, - and _, got {name[:80]!r}")
    if is_packed(name):
        raise CheckpointError(f"name must be a new one, got {name!r}, the name of a default")
    return cache / "converted" / f"{name}.safetensors"


def encoder_path(cache: Path, name: str) -> Path:
    """Return the path of the encoder that came with a converted generator, if there was one.

    Raises:
        CheckpointError: If the name is not a plain one.
    """
    return converted_path(cache, f"{name}-encoder")


def is_packed(name: str) -> bool:
    """Whether a pack has an output of that name."""
    return any(output.name == name for _, output in all_outputs())


def network_path(cache: Path, name: str) -> Path:
    """Return the path of a network, packed or converted; a pack's bytes are verified.

    Raises:
        CheckpointError: If it is missing, or is not the pinned one.
    """
    if is_packed(name):
        return verified_path(cache, name)
    path = converted_path(cache, name)
    if not path.is_file():
        known = sorted(each.stem for each in path.parent.glob("*.safetensors"))
        raise CheckpointError(
            f"name must be {[each.name for _, each in all_outputs()]} or converted "
            f"({known or 'none is'}), got {name!r}"
        )
    return path


def checked_digest(cache: Path, name: str) -> tuple[str, str]:
    """Return a network's file and the SHA-256 that loading checks it against, without hashing it.

    Raises:
        CheckpointError: If there is no such network, or a converted one lacks its sidecar.
    """
    if is_packed(name):
        path = weight_path(cache, name)
        return path.name, next(o.sha256 for _, o in all_outputs() if o.file == path.name)
    path = converted_path(cache, name)
    return path.name, str(read_sidecar(path)["sha256"])


def all_outputs() -> Iterator[tuple[Pack, Output]]:
    """Yield every output with its pack."""
    return ((pack, output) for pack in PACKS for output in pack.outputs)


def all_members() -> Iterator[tuple[Pack, Member]]:
    """Yield every member that an output is built from, with its pack."""
    return ((pack, member) for pack, output in all_outputs() for member in output.members)


def output_state(cache: Path, output: Output) -> State:
    """Determine an output's state from its size and its sidecar."""
    path = cache / "weights" / output.file
    if not path.is_file():
        return "missing"
    try:
        sidecar = read_sidecar(path)
    except CheckpointError:
        return "damaged"
    if (sidecar.get("sha256"), sidecar.get("converter")) != (output.sha256, output.converter):
        return "outdated"
    return "present" if path.stat().st_size == output.size_bytes else "damaged"
