"""The configuration of a training run: one frozen object, read from a TOML preset and flags.

Long, because it lists every setting with its meaning, its default and the rules between settings.
"""

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from model_core.errors import InvalidInputError
from model_core.training.config_rules import check_each
from model_core.weights.cache import DEFAULT_IDENTITY

CHANGES = ("jitter", "degrade_share", "photo_light", "photo_warp")
OF_IMAGES = ("mse_weight", "lpips_weight", "identity_weight")
OF_CODES = ("style_weight", "sensitivity_weight", "latent_weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Hyperparameters of a run; the run folder keeps the resolved copy.

    Attributes:
        trained: Which network to train: "embedding", or "detail" for the detail encoder of a
            trained embedding network. Fields about codes, the iterator and the identity encoder's
            training apply to "embedding" only.
        steps: Number of optimiser steps.
        batch: Images per step, the same number from each shard.
        lr: Adam's learning rate after warm-up.
        betas: Adam's betas.
        warmup_steps: Steps of linear warm-up.
        decay_share: Fraction of the steps, at the end, over which the rate falls linearly to zero.
        clip_norm: Maximum gradient norm.
        ema: Per-step decay of the averaged weights, which are the ones validated and kept.
        attribute_px: Side of the attribute encoder's input image; 256 in the paper.
        psi_min: Lowest truncation of generated codes.
        psi_max: Highest truncation of generated codes.
        mixed_share: Fraction of generated codes that mix the rows of several codes.
        replay: How often a generated pair is used, on average.
        window: Number of newest pairs a step draws from.
        jitter: Largest relative change of an input's brightness, contrast and colour. This and the
            next three fields are 0 under iterator supervision, which allows only flips.
        degrade_share: Fraction of inputs that are blurred or rescaled to look like poor photos.
        photo_light: Largest relative change of light and colour, of a photograph and its target.
        photo_warp: Largest rotation (radians), relative scaling and shift (in half image sides)
            of both.
        style_weight: Weight of the style error of codes.
        influence_samples: Codes used to measure each row's influence on the image.
        latent_weight: Weight of the latent error of codes, lambda 3 of the paper; unlike there,
            each dimension is divided by its spread over W.
        sensitivity_weight: Weight of the image MSE that a code error causes, to first order.
        sensitivity_samples: Number of gradients that estimate it.
        generated_share: Fraction of a batch that is generated pairs; the rest are photographs. Of
            a pair, the detail encoder uses only the image, as if it were a photograph.
        pair_images: Whether the image losses also apply to generated pairs, which show more
            people than the photographs do.
        photo_weights: How often each folder of photographs is drawn from; empty: by its size.
        loss_px: Side of the images that the image losses and the iterator compare.
        head: Whether these images come from the shipped image head of that size instead of the
            full generator.
        mse_weight: Weight of the image MSE, lambda 1 of the paper.
        lpips_weight: Weight of the images' perceptual distance, lambda 2 of the paper.
        margin_weight: Weight of pixels around the face in the MSE; those of the face have 1.
        identity_weight: Weight of the squared distance between identity descriptors; about 0.1.
        detail_weight: Weight of the mean squared detail.
        true_every: One step in this many renders with the full generator, the others with the
            image head; 0: none.
        true_share: Fraction of the steps, at the end, to which true_every applies.
        full_size_weight: Weight, in these steps, of the MSE against the enlarged photos at the
            generator's own size. Without it, grain appears that averaging over pixels hides.
        perceptual: The perceptual distance, in the losses and in equation 1; a name from
            model_core.networks.distances.
        supervision: What supervises photographs: "iterator" (its code and that code's image, as in
            the paper), "photo" (the photo itself, no iterator) or "both" (its code, and the photo).
        iterator_steps: Iterator steps per visit of a photo.
        iterator_lr: Learning rate of the iterator.
        alpha: Weight of the perceptual distance in equation 1.
        from_cache: Whether the iterator starts from the cached code if that is better.
        amp: Whether the network runs in bfloat16 where that is safe and the processor is faster
            in it.
        freeze_norms: Whether BatchNorm normalises by its running statistics and leaves them
            unchanged. Required under iterator supervision, so that several processes compute what
            one would.
        identity: Name of the identity encoder's weights.
        disentangled: Whether identity and attributes have separate encoders; if not, a single
            ResNet-50 encodes both (the ablation in the paper's table 4).
        tune_identity: Whether the identity encoder is trained too.
        tune_generator: Whether the generator is trained too, in float32, on the image losses (the
            third baseline in the paper's figure 1).
        generator_lr: Learning rate of the generator if it is trained.
        shards: Parts of the data; each belongs to one process, which owns its cache.
        validate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
        validation_pairs: Held-out generated pairs.
        validation_photos: Held-out photographs, if a folder is given.
        seed: Seed of everything random.
        compile: Whether the generator is compiled. False when the detail encoder is trained: the
            upper blocks take longer to compile than a short run takes.
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
        check_each(dataclasses.asdict(self))
        self._check_supervision()
        self._check_losses()

    def _check_supervision(self) -> None:
        """Check what depends on how photographs are supervised, and on what is trained with E."""
        if self.generated_share and not self.pairs_per_shard:
            raise InvalidInputError(
                "generated_share must be 0 or give each shard a pair, got "
                f"{self.generated_share} of {self.batch // self.shards} images: raise batch"
            )
        if self.trained == "detail" and not self.photos_per_shard:
            raise InvalidInputError(
                "generated_share must leave each shard a photograph when trained is detail, got "
                f"{self.generated_share} of {self.batch // self.shards} images"
            )
        if self.pair_images and not (self.pairs_per_shard and self._compares_images):
            raise InvalidInputError(
                "pair_images must be false without pairs and a weight of their images "
                f"(generated_share, and one of {', '.join(OF_IMAGES)}, above 0), got true"
            )
        changes = {name: getattr(self, name) for name in CHANGES if getattr(self, name)}
        if changes and self._iterator_teaches:
            raise InvalidInputError(
                f"{', '.join(CHANGES)} must be 0 under iterator supervision, whose cache holds "
                "each photo only as it is and flipped, got "
                + ", ".join(f"{name} {value}" for name, value in changes.items())
            )
        if self._iterator_teaches and not self.freeze_norms:
            raise InvalidInputError(
                "freeze_norms must be true under iterator supervision, got false: batch statistics "
                "would differ between processes"
            )
        if self.tune_identity and not self.disentangled:
            raise InvalidInputError("tune_identity must be false without disentangled, got true")
        if self.tune_generator and not self._photos_reach_generator:
            raise InvalidInputError(
                "tune_generator must be false unless photographs supervise the full generator "
                "(head false, supervision photo, generated_share below 1, one of "
                f"{', '.join(OF_IMAGES)} above 0), got true"
            )

    def _check_losses(self) -> None:
        """Check that every kind of example has a loss."""
        on_codes = self.trained == "embedding" and not self.pair_images
        if self.pairs_per_shard and on_codes and not self._compares_codes:
            raise InvalidInputError(
                f"one of {', '.join(OF_CODES)} must be above 0, or pair_images true, when "
                f"training on generated pairs, got generated_share {self.generated_share} "
                "and no loss on them"
            )
        compared = self._compares_images or (self._iterator_teaches and self._compares_codes)
        if self.photos_per_shard and not compared:
            raise InvalidInputError(
                f"one of {', '.join(OF_IMAGES)} must be above 0 when training on photographs with "
                f"supervision {self.supervision}"
                + (f", or one of {', '.join(OF_CODES)}" if self._iterator_teaches else "")
                + ", got 0 for all"
            )

    @property
    def _iterator_teaches(self) -> bool:
        return self.photos_per_shard > 0 and self.supervision != "photo"

    @property
    def _photos_reach_generator(self) -> bool:
        """Whether the photographs' image losses depend on the generator's weights."""
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
        """Generated pairs per step and shard."""
        return round(self.generated_share * self.batch / self.shards)

    @property
    def photos_per_shard(self) -> int:
        """Photographs per step and shard."""
        return self.batch // self.shards - self.pairs_per_shard

    @classmethod
    def load(cls, preset: str, overrides: dict[str, Any] | None = None) -> "TrainConfig":
        """Load a preset by name and apply overrides, given as text or values.

        Raises:
            InvalidInputError: If the preset, a field or a value is unknown.
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
        """Read a config written by to_json.

        Raises:
            InvalidInputError: If the file cannot be read or is not a training config.
        """
        try:
            values = json.loads(path.read_text())
            tuples = {name: tuple(values[name]) for name in ("betas", "photo_weights")}
            return cls(**(values | tuples))
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise InvalidInputError(f"{path} must be a training config, got {err!r}") from err


def presets() -> list[str]:
    """Return the names of the shipped presets."""
    folder = resources.files("model_core.training") / "presets"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir())


def _parse(default: Any, name: str, value: Any) -> Any:
    """Convert a TOML value or a flag's text to the type of the field's default."""
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
