"""Load ready networks: the default ones from the weights cache, ours from a file."""

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from model_core.encoders.arcface import ArcFaceIdentity, IResNetFace, IRSEFace
from model_core.encoders.detail_encoder import DetailEncoder, DetailEncoderConfig
from model_core.encoders.embedding_network import (
    IDENTITY_PREFIX,
    EmbeddingNetwork,
    EmbeddingNetworkConfig,
)
from model_core.encoders.faceres import FaceRes, FaceResHeads
from model_core.encoders.identity import DlibIdentity
from model_core.encoders.style_encoder import StyleEncoder, StyleEncoderConfig
from model_core.errors import CheckpointError, ModelMismatchError
from model_core.generators.contract import Generator
from model_core.generators.families import FAMILIES
from model_core.generators.image_head import ImageHead, ImageHeadConfig
from model_core.perceptual.stlpips import STLPIPS
from model_core.weights.cache import (
    DEFAULT_GENERATOR,
    DEFAULT_IDENTITY,
    DEFAULT_JUDGE,
    is_packed,
    network_path,
    verified_path,
    weight_path,
)
from model_core.weights.files import read_sidecar
from model_core.weights.store import load_network

Identity = DlibIdentity | ArcFaceIdentity

RECOGNISERS: dict[str, Callable[[dict[str, Any]], Identity]] = {
    "dlib-resnet29": lambda _: DlibIdentity(),
    "arcface-irse": lambda config: ArcFaceIdentity(IRSEFace(**config)),
    "arcface-iresnet": lambda config: ArcFaceIdentity(IResNetFace(tuple(config["blocks"]))),
}
"""Config, as a sidecar holds it, to an untrained identity encoder, by family."""

Network = TypeVar("Network", bound=nn.Module)
T = TypeVar("T")


def load_generator(cache: Path, name: str = DEFAULT_GENERATOR) -> tuple[Generator, str]:
    """Load a generator by name, frozen.

    Returns:
        The generator and its fingerprint, the SHA-256 of its weights.
    Raises:
        CheckpointError: If the weights are missing, damaged or of an unknown family.
    """
    state, sidecar = load_network(network_path(cache, name), verify=not is_packed(name))
    family = sidecar.get("family")
    if family not in FAMILIES:
        raise CheckpointError(f"{name} must be of a family in {sorted(FAMILIES)}, got {family!r}")
    generator = _configured(FAMILIES[family], sidecar, name)
    return _frozen(generator, state, name), str(sidecar["sha256"])


def load_identity(cache: Path, name: str = DEFAULT_IDENTITY) -> Identity:
    """Load an identity encoder by name, frozen: the default or a converted recogniser.

    Raises:
        CheckpointError: If it is missing, damaged or not a recogniser.
    """
    state, sidecar = load_network(network_path(cache, name), verify=not is_packed(name))
    family, config = sidecar.get("family"), sidecar.get("config", {})
    if family not in RECOGNISERS:
        raise CheckpointError(f"{name} must be of a family in {list(RECOGNISERS)}, got {family!r}")
    identity = RECOGNISERS[family](config)
    _filled(identity.network, _counters(identity.network) | state, name)
    return identity


def load_judge(cache: Path) -> FaceRes | None:
    """Load the recogniser that judges identity, frozen; None if its weights are missing.

    It is not among RECOGNISERS, so that no network can be trained on the recogniser that judges it.

    Raises:
        CheckpointError: If the weights exist but are not the pinned ones.
    """
    if not weight_path(cache, DEFAULT_JUDGE).is_file():
        return None
    state, _ = load_network(verified_path(cache, DEFAULT_JUDGE))
    return _frozen(FaceRes(), state, DEFAULT_JUDGE)


def load_judge_heads(cache: Path) -> FaceResHeads:
    """Load that recogniser's heads for age and gender, frozen.

    Raises:
        CheckpointError: If the weights are missing or not the pinned ones.
    """
    state, _ = load_network(verified_path(cache, "faceres-heads"))
    return _frozen(FaceResHeads(), state, "faceres-heads")


def load_style_encoder(path: Path, generator: Generator, fingerprint: str) -> StyleEncoder:
    """Load the encoder of a converted pSp, e4e or ReStyle checkpoint, frozen.

    Raises:
        CheckpointError: If the file is missing, damaged or of another kind.
        ModelMismatchError: If it came with another generator.
    """
    state, sidecar = _read_owned(path, "style-encoder", fingerprint)
    config = _configured(lambda values: StyleEncoderConfig(**values), sidecar, path.name)
    renders = copy.deepcopy(generator) if config.looks else None
    encoder = StyleEncoder(config, renders)
    kept = {k: v for k, v in encoder.state_dict().items() if k.startswith("generator.")}
    return _frozen(encoder, _counters(encoder) | kept | state, path.name)


def load_embedder(
    path: Path, cache: Path, generator: Generator, fingerprint: str
) -> EmbeddingNetwork | StyleEncoder:
    """Load whatever network in a file embeds faces for a generator.

    Raises:
        CheckpointError: If the file is missing, damaged or of another kind.
        ModelMismatchError: If it belongs to another generator.
    """
    if path.is_file() and read_sidecar(path).get("family") == "style-encoder":
        return load_style_encoder(path, generator, fingerprint)
    return load_embedding_network(path, cache, generator, fingerprint)


def load_stlpips(cache: Path, trunk: str = "alex") -> STLPIPS:
    """Load ST-LPIPS with the trunk alex or vgg, frozen."""
    state, _ = load_network(verified_path(cache, f"st-lpips-{trunk}"))
    return _frozen(STLPIPS(trunk), state, f"st-lpips-{trunk}")


def load_image_head(path: Path, fingerprint: str) -> ImageHead:
    """Load an image head, in float32 and frozen.

    Raises:
        CheckpointError: If the file is missing, damaged or of another kind.
        ModelMismatchError: If it was fitted to another generator.
    """

    def make(values: dict[str, Any]) -> ImageHead:
        return ImageHead(ImageHeadConfig(**values | {"widths": tuple(values["widths"])}))

    state, sidecar = _read_owned(path, "image-head", fingerprint)
    return _frozen(_configured(make, sidecar, path.name), _in_float32(state), path.name)


def load_detail_encoder(
    path: Path, generator: Generator, fingerprint: str
) -> tuple[DetailEncoder, str]:
    """Load a detail encoder, in float32 and frozen.

    Returns:
        The encoder and the SHA-256 of its decoder's weights, which details name: encoders with
        one decoder understand each other's details.
    Raises:
        CheckpointError: If the file is missing, damaged or of another kind.
        ModelMismatchError: If it was trained for another generator.
    """
    state, sidecar = _read_owned(path, "detail-encoder", fingerprint)
    config = _configured(lambda values: DetailEncoderConfig(**values), sidecar, path.name)
    encoder = DetailEncoder(config, generator.w_mean, generator.w_std)
    loaded = _frozen(encoder, _in_float32(state), path.name)
    decoder = hashlib.sha256(state["decoder.weight"].contiguous().numpy().tobytes()).hexdigest()
    return loaded, decoder


def load_tuned_generator(path: Path, generator: Generator, fingerprint: str) -> Generator:
    """Load a file written by save_tuned_generator, frozen.

    Args:
        path: The file.
        generator: The generator that it was tuned from; copied.
        fingerprint: Fingerprint of that generator.
    Raises:
        CheckpointError: If the file is missing, damaged or of another kind.
        ModelMismatchError: If it was tuned from another generator.
    """
    state, _ = _read_owned(path, "tuned-generator", fingerprint)
    return _frozen(copy.deepcopy(generator), state, path.name)


def new_embedding_network(
    cache: Path,
    generator: Generator,
    attribute_px: int,
    disentangled: bool = True,
    identity: str = DEFAULT_IDENTITY,
) -> EmbeddingNetwork:
    """Make an untrained embedding network for a generator, with an identity encoder by name."""
    recogniser = load_identity(cache, identity)
    config = EmbeddingNetworkConfig(
        num_ws=generator.num_ws,
        w_dim=generator.w_dim,
        attribute_px=attribute_px,
        disentangled=disentangled,
        identity=identity,
        identity_dim=recogniser.feature_dim,
    )
    return EmbeddingNetwork(config, recogniser, generator.w_mean, generator.w_std)


def load_embedding_network(
    path: Path, cache: Path, generator: Generator, fingerprint: str
) -> EmbeddingNetwork:
    """Load a trained embedding network in float32, frozen.

    Raises:
        CheckpointError: If the file is missing, damaged or of another kind.
        ModelMismatchError: If it was trained for another generator.
    """
    state, sidecar = _read_owned(path, "embedding-network", fingerprint)
    config = _configured(lambda values: EmbeddingNetworkConfig(**values), sidecar, path.name)
    recogniser = load_identity(cache, config.identity)
    network = EmbeddingNetwork(config, recogniser, generator.w_mean, generator.w_std)
    identity = network.identity.state_dict(prefix=IDENTITY_PREFIX)
    return _frozen(network, identity | _in_float32(state), path.name)


def _read_owned(
    path: Path, family: str, fingerprint: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read weights and sidecar; refuse those of another kind or another generator."""
    state, sidecar = load_network(path, verify=True)
    if sidecar.get("family") != family:
        raise CheckpointError(
            f"{path.name} must be of the family {family}, got {sidecar.get('family')}"
        )
    owner = str(sidecar.get("generator"))
    if owner != fingerprint:
        raise ModelMismatchError(
            f"{path.name} belongs to the generator {owner[:12]}, "
            f"not to {fingerprint[:12]}, the one in use"
        )
    return state, sidecar


def _configured(make: Callable[[dict[str, Any]], T], sidecar: dict[str, Any], name: str) -> T:
    """Build from a sidecar's config; an invalid one is reported in one line."""
    try:
        return make(sidecar["config"])
    except (KeyError, TypeError, ValueError) as err:
        raise CheckpointError(f"{name} must have a valid config: {err}") from err


def _in_float32(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: v.float() if v.is_floating_point() else v for key, v in state.items()}


def _counters(network: nn.Module) -> dict[str, Tensor]:
    """Return batch normalisation's counters, which other projects' files may lack."""
    return {k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}


def _filled(network: Network, state: dict[str, Tensor], name: str) -> Network:
    """Load a state dict; a mismatch is reported in one line."""
    try:
        network.load_state_dict(state)
    except RuntimeError as err:
        raise CheckpointError(f"{name} must fit its network: {err}") from err
    return network


def _frozen(network: Network, state: dict[str, Tensor], name: str) -> Network:
    """Load a state dict for inference alone."""
    return _filled(network, state, name).eval().requires_grad_(False)
