"""pSp, e4e and ReStyle, .pt: a generator in rosinality's names, an encoder, and the mean code.

Source: models/psp.py and models/encoders of pixel2style2pixel, encoder4editing and restyle-encoder
(MIT), for the names.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from model_core.checkpoints.foreign.checks import expect
from model_core.checkpoints.foreign.contents import Foreign, Found, Layout
from model_core.checkpoints.foreign.rosinality import NAMES as DECODER_NAMES
from model_core.checkpoints.foreign.rosinality import num_ws, rosinality_generator
from model_core.checkpoints.foreign.tensors import Tensors, shown
from model_core.encoders.style_encoder import StyleEncoder, StyleEncoderConfig
from model_core.errors import CheckpointError
from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config

RESIDUAL_TYPES = (
    "Encoder4Editing",
    "ProgressiveBackboneEncoder",
    "ResNetProgressiveBackboneEncoder",
)
TYPES = (
    "GradualStyleEncoder",
    "BackboneEncoder",
    "ResNetBackboneEncoder",
    "ResNetGradualStyleEncoder",
    *RESIDUAL_TYPES,
)
RESTYLE_STEPS, MAX_STEPS = 5, 100
LINEAR_SCALE = 512**-0.5
MAX_ROWS = 64
SETTINGS = ("encoder_type", "n_iters_per_batch", "start_from_latent_avg", "learn_in_w")

NAMES = re.compile(
    rf"latent_avg|decoder\.(?:{DECODER_NAMES.pattern})"
    r"|encoder\.(?:(?:input_layer|body|conv1|bn1|relu)\..+|latlayer[12]\.(?:weight|bias)"
    r"|styles\.\d+\.(?:convs\.\d+|linear)\.(?:weight|bias))"
)
MARKER = re.compile(r"encoder\..+")


def read_psp(found: Found) -> Foreign:
    """Read the generator, with the encoder as its companion.

    Raises:
        CheckpointError: If the encoder's type is not supported, or its codes do not fit the
            generator.
    """
    state, options = dict(found.state), _options(found.around.get("opts"))
    mean = found.around.get("latent_avg", state.pop("latent_avg", None))
    other = [name for name in state if not name.startswith(("decoder.", "encoder."))]
    if other:
        raise CheckpointError(
            f"checkpoint must hold only an encoder and a decoder, got {shown(other)}: "
            "other networks (hypernetworks, inverters) are not supported"
        )
    try:
        generator = rosinality_generator("psp", _part(state, "decoder."), mean)
    except CheckpointError as err:
        raise CheckpointError(f"decoder: {err}") from err
    rows = num_ws(generator)
    size_px = 2 << rows // 2
    for name in ("output_size", "stylegan_size"):
        expect(name, options.get(name, size_px), size_px)
    try:
        encoder = _encoder(_part(state, "encoder."), options, mean, rows)
    except CheckpointError as err:
        raise CheckpointError(f"encoder: {err}") from err
    reads = rows, generator.config["w_dim"]
    gives = tuple(encoder.state["mean"].shape)
    if gives != reads:
        raise CheckpointError(
            f"encoder must output the generator's {reads[0]} rows of {reads[1]}, "
            f"got {gives[0]} x {gives[1]}"
        )
    generator.companions.append(encoder)
    return generator


def _options(stated: Any) -> dict[str, Any]:
    return dict(stated) if isinstance(stated, Mapping) else {}


def _encoder(state: Mapping[str, Any], options: Mapping[str, Any], mean: Any, rows: int) -> Foreign:
    source = Tensors(state)
    resnet = "conv1.weight" in source or "bn1.weight" in source
    kind = str(options.get("encoder_type", "ResNetBackboneEncoder" if resnet else TYPES[0]))
    first = source.left.get("conv1.weight" if resnet else "input_layer.0.weight")
    inputs = first.shape[1] if first is not None and first.ndim == 4 else None
    if kind not in TYPES or inputs not in (3, 6, None) or kind.startswith("ResNet") != resnet:
        raise CheckpointError(
            f"encoder must be one of {', '.join(TYPES)} on 3 or 6 channels, got {kind[:60]} on "
            f"{inputs}"
        )
    given = min(source.count("styles.{}", _style_parts()), MAX_ROWS)
    looks = inputs == 6  # the photo and the last rendered image
    config = StyleEncoderConfig(
        num_ws=max(given, 1),
        pyramid=any(name.startswith("latlayer") for name in source.left),
        residual_rows=kind in RESIDUAL_TYPES,
        steps=_steps(options) if looks else 1,
        looks=looks,
        resnet=resnet,
    )
    if config.pyramid != ("Gradual" in kind or kind == "Encoder4Editing"):
        raise CheckpointError(
            f"{kind} must {'not ' * config.pyramid}have latlayer1 and latlayer2, got the other"
        )
    if given != rows:
        what = "the pyramid's " if config.pyramid else ""
        raise CheckpointError(
            f"encoder must give {what}codes in the generator's {rows} rows, got styles for {given}"
        )
    wanted = _names(config)
    source.require(name for name in wanted if not name.endswith(COUNTER))
    source.all_or_none(name for name in wanted if name.endswith(COUNTER))
    source.drop(rf".*{COUNTER}")
    foreign = Foreign("psp", "style-encoder", asdict(config), {})
    for name in [name for name in wanted if not name.endswith(COUNTER)]:
        foreign.state[name] = source.take(name)
        foreign.origins[name] = f"encoder.{name}"
        if name.startswith("styles.") and name.endswith(".linear.weight"):
            foreign.state[name] *= LINEAR_SCALE
    foreign.state["mean"] = _mean_rows(options, mean, config)
    foreign.remarks += source.finish(f"an encoder of the type {kind}")
    missing = [name for name in SETTINGS[:2] if name not in options]
    if missing[:1] == ["encoder_type"]:
        foreign.remarks.append(
            f"the file does not record encoder_type: {kind} is assumed (e4e's encoder has the same "
            "names but other codes)"
        )
    if looks and "n_iters_per_batch" in missing:
        foreign.remarks.append(
            f"the file does not record n_iters_per_batch: {RESTYLE_STEPS} passes are assumed"
        )
    return foreign


COUNTER = "num_batches_tracked"


def _style_parts() -> list[str]:
    ends = ("weight", "bias")
    return [f".{part}.{end}" for part in ("linear", "convs.0", "convs.2") for end in ends]


def _names(config: StyleEncoderConfig) -> list[str]:
    """Return an encoder's tensor names, which are the same in the projects and here."""
    with torch.device("meta"):
        network = new_encoder(asdict(config))
    return [name for name in network.state_dict() if name != "mean"]


def new_encoder(config: dict[str, Any]) -> StyleEncoder:
    """Return an untrained encoder without its generator, for its tensor names and sizes."""
    with torch.device("meta"):
        any_generator = StyleGAN2(StyleGAN2Config(widths=(1,)))
    encoder = StyleEncoder(StyleEncoderConfig(**config), any_generator)
    encoder.generator = None
    return encoder


def _steps(options: Mapping[str, Any]) -> int:
    steps = options.get("n_iters_per_batch", RESTYLE_STEPS)
    if not isinstance(steps, int) or not 1 <= steps <= MAX_STEPS:
        raise CheckpointError(
            f"n_iters_per_batch must be a whole number from 1 to {MAX_STEPS}, got {str(steps)[:40]}"
        )
    return steps


def _mean_rows(options: Mapping[str, Any], mean: Any, config: StyleEncoderConfig) -> Tensor:
    """Return the rows to which the encoder's output is added."""
    expect("learn_in_w", options.get("learn_in_w", False), False, None)
    if not options.get("start_from_latent_avg", True) and not config.looks:
        return torch.zeros(config.num_ws, 512)
    if mean is None:
        raise CheckpointError("checkpoint must hold latent_avg, the encoder's mean code, got none")
    rows = Tensors({"latent_avg": mean}).take("latent_avg").reshape(-1, 512)
    if len(rows) not in (1, config.num_ws):
        raise CheckpointError(f"latent_avg must have 1 or {config.num_ws} rows, got {len(rows)}")
    return rows.expand(config.num_ws, -1).clone()


def _part(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


PSP = Layout("psp", NAMES, read_psp, ("latent_avg", "opts"), MARKER)
