"""The rules that single settings of a training run obey; `config` has those between settings."""

from collections.abc import Mapping
from typing import Any

from model_core.errors import InvalidInputError

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
FROM_ZERO = ("warmup_steps", "validation_photos", "seed", "true_every")
OF_DETAILS = {
    "margin_weight": 1.0,
    "detail_weight": 0.0,
    "true_every": 0,
    "true_share": 0.0,
    "full_size_weight": 0.0,
}
"""Fields that only the detail encoder's training reads, with their value in other trainings."""
WITH_DETAIL = {
    "pair_images": False,
    "supervision": "photo",
    "jitter": 0.0,
    "degrade_share": 0.0,
    "loss_px": 256,
    "tune_identity": False,
    "tune_generator": False,
    "compile": False,
}
"""Fields that are fixed when the detail encoder is trained, with their value there."""


def check_each(values: Mapping[str, Any]) -> None:
    """Check the settings of a run one by one.

    Args:
        values: Every setting by name.
    Raises:
        InvalidInputError: If one is out of range, or does not fit what is trained.
    """
    least = dict.fromkeys(FROM_ONE, 1) | dict.fromkeys(FROM_ZERO, 0)
    for name, bound in least.items():
        if not values[name] >= bound:
            raise InvalidInputError(f"{name} must be {bound} or more, got {values[name]}")
    if values["trained"] not in TRAINED:
        raise InvalidInputError(f"trained must be one of {TRAINED}, got {values['trained']!r}")
    fixed = WITH_DETAIL if values["trained"] == "detail" else OF_DETAILS
    for name, rule in fixed.items():
        if values[name] != rule:
            raise InvalidInputError(
                f"{name} must be {rule} when trained is {values['trained']}, got {values[name]}"
            )
    if values["supervision"] not in SUPERVISION:
        raise InvalidInputError(
            f"supervision must be one of {SUPERVISION}, got {values['supervision']!r}"
        )
    if values["batch"] % values["shards"]:
        raise InvalidInputError(
            f"batch must be a multiple of the {values['shards']} shards, got {values['batch']}"
        )
    if not 0 <= values["generated_share"] <= 1:
        raise InvalidInputError(
            f"generated_share must be between 0 and 1, got {values['generated_share']}"
        )
