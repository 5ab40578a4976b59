"""One frozen object that says all of a training run: a TOML preset, then flags."""

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from model_core.errors import InvalidInputError

FROM_ONE = (
    "steps",
    "batch",
    "replay",
    "window",
    "sensitivity_samples",
    "validate_every",
    "checkpoint_every",
    "validation_pairs",
)
FROM_ZERO = ("warmup_steps", "validation_photos", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Hyperparameters of a run; the resolved copy stands in the run folder.

    Attributes:
        steps: Optimiser steps in all.
        batch: Images a step.
        lr: Learning rate of Adam after warm-up.
        betas: Adam's betas.
        warmup_steps: Linear warm-up.
        decay_share: Share of the steps, at the end, in which the rate falls linearly to zero.
        clip_norm: Limit of the gradient's norm.
        ema: Decay a step of the averaged weights, which are the ones validated and kept.
        attribute_px: Side of the image that the attribute encoder reads; 256 in the paper.
        psi_min: Lowest truncation of generated codes.
        psi_max: Highest truncation of generated codes.
        mixed_share: Share of generated codes that are mixed from several at random rows.
        replay: How often a generated pair is used, on average.
        window: Newest pairs from which a step draws.
        jitter: Largest relative change of brightness, contrast and colour of an input.
        degrade_share: Share of inputs that are blurred or rescaled, as poor photos are.
        latent_weight: Weight of the plain latent error beside the style error.
        sensitivity_weight: Weight of the image's first-order MSE beside the style error.
        sensitivity_samples: Gradients that estimate it.
        validate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
        validation_pairs: Held-out generated pairs.
        validation_photos: Held-out photographs, where a folder is given.
        seed: Of everything random.
        compile: Whether the generator is compiled.
    """

    steps: int = 20_000
    batch: int = 32
    lr: float = 6e-4
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 200
    decay_share: float = 0.3
    clip_norm: float = 1.0
    ema: float = 0.998
    attribute_px: int = 256
    psi_min: float = 0.4
    psi_max: float = 1.0
    mixed_share: float = 0.5
    replay: float = 3.0
    window: int = 8192
    jitter: float = 0.1
    degrade_share: float = 0.3
    latent_weight: float = 0.1
    sensitivity_weight: float = 2.0
    sensitivity_samples: int = 600
    validate_every: int = 500
    checkpoint_every: int = 250
    validation_pairs: int = 64
    validation_photos: int = 64
    seed: int = 0
    compile: bool = True

    def __post_init__(self) -> None:
        least = dict.fromkeys(FROM_ONE, 1) | dict.fromkeys(FROM_ZERO, 0)
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                raise InvalidInputError(
                    f"{name} must be {bound} or more, got {getattr(self, name)}"
                )

    @classmethod
    def load(cls, preset: str, overrides: dict[str, Any] | None = None) -> "TrainConfig":
        """Read a preset by name and put the overrides, texts or values, over it.

        Raises:
            InvalidInputError: If the preset, a field or a value is not known.
        """
        file = resources.files("model_core.training") / "presets" / f"{preset}.toml"
        if not file.is_file():
            raise InvalidInputError(f"preset must be one of {presets()}, got {preset!r}")
        values = tomllib.loads(file.read_text()) | (overrides or {})
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = values.keys() - fields.keys()
        if unknown:
            raise InvalidInputError(
                f"options must be among {sorted(fields)}, got {sorted(unknown)}"
            )
        return cls(**{name: _parse(fields[name].default, name, v) for name, v in values.items()})

    def to_json(self) -> str:
        """Return the config as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, path: Path) -> "TrainConfig":
        """Read back what to_json wrote.

        Raises:
            InvalidInputError: If the file cannot be read or its fields are not those of a config.
        """
        try:
            values = json.loads(path.read_text())
            return cls(**(values | {"betas": tuple(values["betas"])}))
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise InvalidInputError(f"{path} must be a training config, got {err!r}") from err


def presets() -> list[str]:
    """Return the names of the presets that are shipped."""
    folder = resources.files("model_core.training") / "presets"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir())


def _parse(default: Any, name: str, value: Any) -> Any:
    """Bring a TOML value or a flag's text to the type of the field's default."""
    try:
        if isinstance(default, tuple):
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(float(part) for part in parts)
        if isinstance(default, bool):
            return {"true": True, "false": False}[str(value).lower()]
        return type(default)(value)
    except (KeyError, TypeError, ValueError) as err:
        raise InvalidInputError(
            f"{name} must be of type {type(default).__name__}, got {value!r}"
        ) from err
