"""Tie a run folder to its settings, so that no other run uses its pairs and checkpoints."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from model_core.atomic_file import write_file
from model_core.errors import InvalidInputError, ModelMismatchError
from model_core.training.config import TrainConfig

CHANGEABLE = frozenset(
    {
        "steps",
        "decay_share",
        "true_share",
        "ema",
        "lr",
        "generator_lr",
        "warmup_steps",
        "clip_norm",
        "validate_every",
        "validation_pairs",
        "validation_photos",
        "compile",
    }
)
"""Fields that may change when a run resumes: stored pairs and gradients do not depend on them."""

SHOWN = 16
"""Characters of a digest shown in messages."""


def require_config(folder: Path, config: TrainConfig) -> None:
    """Refuse to resume in a folder whose pairs or state were made with another config.

    Raises:
        InvalidInputError: If a field that may not change differs, or the stored config cannot be
            read.
    """
    path = folder / "config.json"
    if not path.exists():
        return
    stored, asked = dataclasses.asdict(TrainConfig.from_json(path)), dataclasses.asdict(config)
    fixed = asked.keys() - CHANGEABLE
    differing = [name for name in asked if name in fixed and asked[name] != stored[name]]
    if differing:
        rule = ", ".join(f"{name} {stored[name]}" for name in differing)
        got = ", ".join(f"{name} {asked[name]}" for name in differing)
        raise InvalidInputError(
            f"options must be those of the run in {folder} ({rule}), got {got}; "
            "choose another --run folder"
        )


def claim(folder: Path, config: TrainConfig, weights: Mapping[str, str]) -> None:
    """Record a run's config and weights in its folder, unless the folder is another run's.

    Args:
        folder: Run folder; created if missing.
        config: Resolved settings.
        weights: Digest (or text of at most SHOWN characters) of everything that stored pairs,
            gradients, codes and losses depend on, by name; includes "generator". Names new to the
            folder are added.

    Raises:
        InvalidInputError: If the folder's config differs in a field that may not change.
        ModelMismatchError: If the folder was made with other weights.
    """
    require_config(folder, config)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.json"
    stored = _read_weights(path) if path.exists() else {}
    for name, digest in weights.items():
        if stored.get(name, digest) != digest:
            raise ModelMismatchError(
                f"{name} must be {stored[name][:SHOWN]}, that of the run in {folder}, "
                f"got {digest[:SHOWN]}; choose another --run folder"
            )
    write_file(path, json.dumps(dict(weights), indent=2).encode())
    write_file(folder / "config.json", config.to_json().encode())


def _read_weights(path: Path) -> dict[str, str]:
    try:
        stored = json.loads(path.read_text())
        return {"generator": str(stored["generator"])} | {k: str(v) for k, v in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise InvalidInputError(f"{path} must name the run's generator, got {err!r}") from err
