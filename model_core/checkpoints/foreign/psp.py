"""pSp, e4e and ReStyle, .pt: a generator in rosinality's names, an encoder, and the mean code.

Source: models/psp.py and models/encoders of pixel2style2pixel, encoder4editing and restyle-encoder
(MIT), for the names.
"""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from model_core.checkpoints.foreign.contents import Foreign, Layout, Tensors, has_keys
from model_core.checkpoints.foreign.rosinality import rosinality_generator
from model_core.encoders.style_encoder import StyleEncoderConfig
from model_core.errors import CheckpointError

RESIDUAL_TYPES = ("Encoder4Editing", "ProgressiveBackboneEncoder")
TYPES = ("GradualStyleEncoder", "BackboneEncoder", *RESIDUAL_TYPES)
RESTYLE_STEPS = 5
LINEAR_SCALE = 512**-0.5


def read_psp(content: Any) -> Foreign:
    """Read the generator, with the encoder as its companion.

    Raises:
        CheckpointError: If the encoder is of a type that is not covered, or its codes are not the
            generator's.
    """
    state, options = content["state_dict"], content.get("opts", {})
    mean = content.get("latent_avg")
    generator = rosinality_generator("psp", _part(state, "decoder."), mean)
    encoder = _encoder(_part(state, "encoder."), dict(options), mean)
    reads = 2 * len(generator.config["widths"]), generator.config["w_dim"]
    gives = encoder.state["mean"].shape
    if gives != reads:
        raise CheckpointError(
            f"encoder must give the generator's rows of {reads[0]} x {reads[1]}, "
            f"got {gives[0]} x {gives[1]}"
        )
    generator.companions.append(encoder)
    return generator


def _encoder(state: dict[str, Any], options: dict[str, Any], mean: Any) -> Foreign:
    kind = options.get("encoder_type", "GradualStyleEncoder")
    source = Tensors({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")})
    inputs = source.left.get("input_layer.0.weight", torch.empty(0, 0)).shape[1]
    if kind not in TYPES or inputs not in (3, 6):
        raise CheckpointError(
            f"encoder must be one of {', '.join(TYPES)} on 3 or 6 channels, got "
            f"{str(kind)[:60]} on {inputs}"
        )
    config = StyleEncoderConfig(
        num_ws=source.count("styles.{}.linear.weight"),
        pyramid="latlayer1.weight" in source,
        residual_rows=kind in RESIDUAL_TYPES,
        steps=int(options.get("n_iters_per_batch", RESTYLE_STEPS)) if inputs == 6 else 1,
    )
    if not 1 <= config.steps <= 100:
        raise CheckpointError(f"n_iters_per_batch must be from 1 to 100, got {config.steps}")
    found = {name: source.take(name) for name in list(source.left)}
    for name, value in found.items():
        if name.startswith("styles.") and name.endswith(".linear.weight"):
            found[name] = value * LINEAR_SCALE
    found["mean"] = _mean_rows(options, mean, config)
    return Foreign("psp", "style-encoder", asdict(config), found)


def _mean_rows(options: dict[str, Any], mean: Any, config: StyleEncoderConfig) -> Tensor:
    """Return what the encoder's rows are added to."""
    if not options.get("start_from_latent_avg", True) and config.steps == 1:
        return torch.zeros(config.num_ws, 512)
    if mean is None:
        raise CheckpointError(
            "checkpoint must hold latent_avg, which the encoder adds to, got none"
        )
    rows = Tensors({"mean": mean}).take("mean").reshape(-1, 512)
    return rows.expand(config.num_ws, -1).clone()


def _part(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in state.items() if str(k).startswith(prefix)}


PSP = Layout(
    "psp",
    lambda content: (
        has_keys(content, "state_dict")
        and has_keys(content["state_dict"], "decoder.input.input", "encoder.input_layer.0.weight")
    ),
    read_psp,
)
