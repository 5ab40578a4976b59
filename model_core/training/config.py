"""One frozen object that says all of a training run: a TOML preset, then flags."""

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from model_core.errors import InvalidInputError
from model_core.weights.cache import DEFAULT_IDENTITY

FROM_ONE = (
    "steps",
    "batch",
    "replay",
    "window",
    "influence_samples",
    "sensitivity_samples",
    "validate_every",
    "checkpoint_every",
    "validation_pairs",
    "loss_px",
    "iterator_steps",
    "shards",
)
TRAINED = ("embedding", "detail")
SUPERVISION = ("iterator", "photo", "both")
CHANGES = ("jitter", "degrade_share", "photo_light", "photo_warp")
OF_IMAGES = ("mse_weight", "lpips_weight", "identity_weight")
OF_CODES = ("style_weight", "sensitivity_weight", "latent_weight")
FROM_ZERO = ("warmup_steps", "validation_photos", "seed", "true_every")
OF_DETAILS = {
    "margin_weight": 1.0,
    "detail_weight": 0.0,
    "true_every": 0,
    "true_share": 0.0,
    "full_size_weight": 0.0,
}
"""What only the detail encoder's training reads, and what it is elsewhere."""
WITH_DETAIL = {
    "generated_share": 0.0,
    "supervision": "photo",
    "jitter": 0.0,
    "degrade_share": 0.0,
    "loss_px": 256,
    "tune_identity": False,
    "tune_generator": False,
    "compile": False,
}
"""What the detail encoder's training does not read or cannot do otherwise, and what it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Hyperparameters of a run; the resolved copy stands in the run folder.

    Attributes:
        trained: Which network: embedding, or detail, the detail encoder for a trained one. What
            is said of codes, pairs, the iterator and the identity encoder's training is for the
            former alone.
        steps: Optimiser steps in all.
        batch: Images a step, equally many of each shard.
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
        jitter: Largest relative change of brightness, contrast and colour of an input. This one and
            the next three are 0 where the iterator teaches: there photos are flipped, no more.
        degrade_share: Share of inputs that are blurred or rescaled, as poor photos are.
        photo_light: Largest relative change of light and colour of a photograph and its target.
        photo_warp: Largest turn in radians, change of size and shift in half sides of both.
        style_weight: Weight of the style error of codes.
        influence_samples: Codes by which the rows' influence on the image is measured.
        latent_weight: Weight of the latent error of codes, lambda 3 of the paper; unlike there,
            each dimension is divided by its spread over W.
        sensitivity_weight: Weight of the image's first-order MSE by codes.
        sensitivity_samples: Gradients that estimate it.
        generated_share: Share of a batch that are generated pairs; the rest are photographs.
        pair_images: Whether pairs are compared by their images too, as photographs are: faces of
            people without end, where photographs are few.
        photo_weights: How often each folder of photographs is drawn from; empty: by its size.
        loss_px: Side of the images that the image losses and the iterator compare.
        head: Whether these come from the shipped image head of that size, not from true output.
        mse_weight: Weight of the images' MSE, lambda 1 of the paper.
        lpips_weight: Weight of the images' perceptual distance, lambda 2 of the paper.
        margin_weight: Weight in the MSE of what lies around the face, which has 1.
        identity_weight: Weight of the images' squared distance of descriptors by the identity
            encoder; about .1.
        detail_weight: Weight of the details' mean square.
        true_every: One step of so many compares the true output, others the image head's; 0: none.
        true_share: Share of the steps, at the end, in which that is so.
        full_size_weight: Weight, in these steps, of the MSE at the generator's own size, against
            the photos enlarged. Without it, what means over pixels do not see turns into grain.
        perceptual: Which distance that is, for the network and in equation 1; a name of
            model_core.networks.distances.
        supervision: What teaches photographs: iterator (its code and the image of that, the
            paper's), photo (the photo itself, no iterator) or both (its code, and the photo).
        iterator_steps: Iterator steps a visit.
        iterator_lr: Learning rate of the iterator.
        alpha: Weight of the perceptual distance in equation 1.
        from_cache: Whether the iterator starts from the cached code where that is better.
        amp: Whether the network is computed in bfloat16 where that is safe, on processors that are
            faster in it.
        freeze_norms: Whether BatchNorm keeps its running statistics and normalises by them, as it
            must where the iterator teaches: several processes then do what one does.
        identity: Name of the identity encoder's weights.
        disentangled: Whether identity and attributes are encoded apart; without, a single
            ResNet-50 (the ablation of the paper's table 4).
        tune_identity: Whether the identity encoder is trained along.
        tune_generator: Whether the generator is trained along, in float32, by the images that are
            compared (the third baseline of the paper's figure 1).
        generator_lr: Learning rate of the generator where it is trained along.
        shards: Parts of the data; each belongs to one process, which owns its cache.
        validate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
        validation_pairs: Held-out generated pairs.
        validation_photos: Held-out photographs, where a folder is given.
        seed: Of everything random.
        compile: Whether the generator is compiled; not where the detail encoder is trained, whose
            upper blocks take longer to compile than a short run.
    """

    trained: str = "embedding"
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
    jitter: float = 0.0
    degrade_share: float = 0.0
    photo_light: float = 0.0
    photo_warp: float = 0.0
    style_weight: float = 1.0
    influence_samples: int = 4
    latent_weight: float = 0.1
    sensitivity_weight: float = 2.0
    sensitivity_samples: int = 600
    generated_share: float = 1.0
    pair_images: bool = False
    photo_weights: tuple[float, ...] = ()
    loss_px: int = 128
    head: bool = True
    mse_weight: float = 0.0
    lpips_weight: float = 0.0
    margin_weight: float = 1.0
    identity_weight: float = 0.0
    detail_weight: float = 0.0
    true_every: int = 0
    true_share: float = 0.0
    full_size_weight: float = 0.0
    perceptual: str = "st-lpips-alex"
    supervision: str = "iterator"
    iterator_steps: int = 5
    iterator_lr: float = 0.05
    alpha: float = 1.0
    from_cache: bool = True
    amp: bool = True
    freeze_norms: bool = False
    identity: str = DEFAULT_IDENTITY
    disentangled: bool = True
    tune_identity: bool = False
    tune_generator: bool = False
    generator_lr: float = 1e-4
    shards: int = 1
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
        if self.trained not in TRAINED:
            raise InvalidInputError(f"trained must be one of {TRAINED}, got {self.trained!r}")
        fixed = WITH_DETAIL if self.trained == "detail" else OF_DETAILS
        for name, rule in fixed.items():
            if getattr(self, name) != rule:
                raise InvalidInputError(
                    f"{name} must be {rule} where trained is {self.trained}, "
                    f"got {getattr(self, name)}"
                )
        if self.supervision not in SUPERVISION:
            raise InvalidInputError(
                f"supervision must be one of {SUPERVISION}, got {self.supervision!r}"
            )
        if self.batch % self.shards:
            raise InvalidInputError(
                f"batch must be a multiple of the {self.shards} shards, got {self.batch}"
            )
        if not 0 <= self.generated_share <= 1:
            raise InvalidInputError(
                f"generated_share must be within 0 and 1, got {self.generated_share}"
            )
        if self.pair_images and not (self.pairs_per_shard and self._compares_images):
            raise InvalidInputError(
                "pair_images must be false without pairs and a weight of their images "
                f"(generated_share, and one of {', '.join(OF_IMAGES)}, above 0), got true"
            )
        changes = {name: getattr(self, name) for name in CHANGES if getattr(self, name)}
        if changes and self._iterator_teaches:
            raise InvalidInputError(
                f"{', '.join(CHANGES)} must be 0 where the iterator teaches, whose cache knows "
                "each photo as it is and flipped, got "
                + ", ".join(f"{name} {value}" for name, value in changes.items())
            )
        if self._iterator_teaches and not self.freeze_norms:
            raise InvalidInputError(
                "freeze_norms must be true where the iterator teaches, got false: statistics come "
                "from pretraining, and those of a process's own items differ from its neighbour's"
            )
        if self.tune_identity and not self.disentangled:
            raise InvalidInputError("tune_identity must be false without disentangled, got true")
        if self.tune_generator and not self._photos_reach_generator:
            raise InvalidInputError(
                "tune_generator must be false unless photographs teach through the true output "
                "(head false, supervision photo, generated_share below 1, one of "
                f"{', '.join(OF_IMAGES)} above 0), got true"
            )
        if self.pairs_per_shard and not (self._compares_codes or self.pair_images):
            raise InvalidInputError(
                f"one of {', '.join(OF_CODES)} must be above 0, or pair_images true, where "
                f"generated pairs are trained on, got generated_share {self.generated_share} "
                "and nothing that compares them"
            )
        compared = self._compares_images or (self._iterator_teaches and self._compares_codes)
        if self.photos_per_shard and not compared:
            raise InvalidInputError(
                f"one of {', '.join(OF_IMAGES)} must be above 0 where photographs are trained on "
                f"with supervision {self.supervision}"
                + (f", or one of {', '.join(OF_CODES)}" if self._iterator_teaches else "")
                + ", got 0 for all"
            )

    @property
    def _iterator_teaches(self) -> bool:
        return self.photos_per_shard > 0 and self.supervision != "photo"

    @property
    def _photos_reach_generator(self) -> bool:
        """Whether the image losses of photographs are a function of the generator's weights."""
        compared = self.photos_per_shard > 0 and self._compares_images
        return compared and not self.head and self.supervision == "photo"

    @property
    def _compares_codes(self) -> bool:
        return any(getattr(self, name) > 0 for name in OF_CODES)

    @property
    def _compares_images(self) -> bool:
        return any(getattr(self, name) > 0 for name in OF_IMAGES)

    @property
    def pairs_per_shard(self) -> int:
        """Generated pairs of a step in each shard."""
        return round(self.generated_share * self.batch / self.shards)

    @property
    def photos_per_shard(self) -> int:
        """Photographs of a step in each shard."""
        return self.batch // self.shards - self.pairs_per_shard

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
            tuples = {name: tuple(values[name]) for name in ("betas", "photo_weights")}
            return cls(**(values | tuples))
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
            return tuple(float(part) for part in parts if part != "")
        if isinstance(default, bool):
            return {"true": True, "false": False}[str(value).lower()]
        return type(default)(value)
    except (KeyError, TypeError, ValueError) as err:
        raise InvalidInputError(
            f"{name} must be of type {type(default).__name__}, got {value!r}"
        ) from err
