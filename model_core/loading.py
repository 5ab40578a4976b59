"""Load ready networks: the default ones from the weights cache, ours from a file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from model_core.checkpoints.layout import verified_path
from model_core.checkpoints.store import load_network, save_network
from model_core.encoders.embedding_network import EmbeddingNetwork, EmbeddingNetworkConfig
from model_core.encoders.identity import DlibIdentity
from model_core.errors import CheckpointError, ModelMismatchError
from model_core.generators.contract import Generator
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.perceptual import STLPIPS

DEFAULT_GENERATOR = "mobilestylegan-ffhq-1024"
DEFAULT_IDENTITY = "dlib-resnet29"
LANDMARKS = "shape_predictor_68_face_landmarks"
IDENTITY_PREFIX = "identity."

Network = TypeVar("Network", bound=nn.Module)


def _mobilestylegan(config: dict[str, Any]) -> Generator:
    return MobileStyleGAN(MobileStyleGANConfig(**config | {"widths": tuple(config["widths"])}))


GENERATORS: dict[str, Callable[[dict[str, Any]], Generator]] = {"mobilestylegan": _mobilestylegan}


def load_generator(cache: Path, name: str = DEFAULT_GENERATOR) -> tuple[Generator, str]:
    """Load a generator by name, frozen.

    Returns:
        The generator and its fingerprint, the SHA-256 of its weights.
    Raises:
        CheckpointError: If the weights are missing, damaged or of an unknown family.
    """
    state, sidecar = load_network(verified_path(cache, name))
    family = sidecar.get("family")
    if family not in GENERATORS:
        raise CheckpointError(f"family must be one of {sorted(GENERATORS)}, got {family!r}")
    generator = _filled(GENERATORS[family](sidecar["config"]), state, name)
    return generator.eval().requires_grad_(False), str(sidecar["sha256"])


def load_identity(cache: Path) -> DlibIdentity:
    """Load the default identity encoder, frozen."""
    identity = DlibIdentity()
    state, _ = load_network(verified_path(cache, DEFAULT_IDENTITY))
    _filled(identity.network, state, DEFAULT_IDENTITY)
    return identity


def load_stlpips(cache: Path, trunk: str = "alex") -> STLPIPS:
    """Load ST-LPIPS with the trunk alex or vgg, frozen."""
    metric = STLPIPS(trunk)
    state, _ = load_network(verified_path(cache, f"st-lpips-{trunk}"))
    return _filled(metric, state, f"st-lpips-{trunk}").eval().requires_grad_(False)


def new_embedding_network(cache: Path, generator: Generator, attribute_px: int) -> EmbeddingNetwork:
    """Make an untrained embedding network for a generator, with the default identity encoder."""
    config = EmbeddingNetworkConfig(
        num_ws=generator.num_ws, w_dim=generator.w_dim, attribute_px=attribute_px
    )
    return EmbeddingNetwork(config, load_identity(cache), generator.w_mean, generator.w_std)


def save_embedding_network(
    path: Path, network: EmbeddingNetwork, fingerprint: str, about: dict[str, Any]
) -> None:
    """Write a trained embedding network in float16, without the identity encoder, which is frozen.

    Args:
        path: Where to; ends in .safetensors.
        network: What to write.
        fingerprint: Of the generator whose codes it predicts.
        about: What else the sidecar shall say.
    """
    state = {
        key: value.half() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
        if not key.startswith(IDENTITY_PREFIX)
    }
    sidecar = {
        "name": path.stem,
        "family": "embedding-network",
        "config": dataclasses.asdict(network.config),
        "generator": fingerprint,
    }
    save_network(path, state, sidecar | about)


def load_embedding_network(
    path: Path, cache: Path, generator: Generator, fingerprint: str
) -> EmbeddingNetwork:
    """Load a trained embedding network in float32, frozen.

    Raises:
        CheckpointError: If the file is missing, damaged or of another kind.
        ModelMismatchError: If it was trained for another generator.
    """
    state, sidecar = load_network(path, verify=True)
    if sidecar.get("family") != "embedding-network":
        raise CheckpointError(
            f"{path.name} must be an embedding network, got {sidecar.get('family')}"
        )
    owner = str(sidecar.get("generator"))
    if owner != fingerprint:
        raise ModelMismatchError(
            f"{path.name} belongs to the generator {owner[:12]}, "
            f"not to {fingerprint[:12]}, the one in use"
        )
    try:
        config = EmbeddingNetworkConfig(**sidecar["config"])
    except (KeyError, TypeError) as err:
        raise CheckpointError(f"{path.name} must have a config that is known: {err}") from err
    network = EmbeddingNetwork(config, load_identity(cache), generator.w_mean, generator.w_std)
    identity = network.identity.state_dict(prefix=IDENTITY_PREFIX)
    floats = {key: v.float() if v.is_floating_point() else v for key, v in state.items()}
    return _filled(network, floats | identity, path.name).eval().requires_grad_(False)


def _filled(network: Network, state: dict[str, Tensor], name: str) -> Network:
    """Load a state dict; a misfit is told in one line."""
    try:
        network.load_state_dict(state)
    except RuntimeError as err:
        raise CheckpointError(f"{name} must fit its network: {err}") from err
    return network
