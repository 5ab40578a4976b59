"""Write the networks that we train, each with its sidecar; `loading` reads them."""

import dataclasses
from pathlib import Path
from typing import Any

from model_core.encoders.detail_encoder import DetailEncoder
from model_core.encoders.embedding_network import IDENTITY_PREFIX, EmbeddingNetwork
from model_core.generators.contract import Generator
from model_core.weights.store import save_network


def save_embedding_network(
    path: Path,
    network: EmbeddingNetwork,
    fingerprint: str,
    about: dict[str, Any],
    with_identity: bool = False,
) -> None:
    """Write a trained embedding network in float16.

    Args:
        path: Where to write; ends in .safetensors.
        network: The network.
        fingerprint: Fingerprint of the generator whose codes it predicts.
        about: Further entries for the sidecar.
        with_identity: Whether to write the identity encoder too, if it was trained as well.
    """
    state = {
        key: value.half() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
        if with_identity or not key.startswith(IDENTITY_PREFIX)
    }
    sidecar = {
        "name": path.stem,
        "family": "embedding-network",
        "config": dataclasses.asdict(network.config),
        "generator": fingerprint,
    }
    save_network(path, state, sidecar | about)


def save_detail_encoder(
    path: Path, encoder: DetailEncoder, fingerprint: str, about: dict[str, Any]
) -> None:
    """Write a detail encoder in float16.

    Args:
        path: Where to write; ends in .safetensors.
        encoder: The encoder.
        fingerprint: Fingerprint of the generator whose features it corrects.
        about: Further entries for the sidecar.
    """
    state = {key: value.half() for key, value in encoder.state_dict().items()}
    sidecar = {
        "name": path.stem,
        "family": "detail-encoder",
        "config": dataclasses.asdict(encoder.config),
        "generator": fingerprint,
    }
    save_network(path, state, sidecar | about)


def save_tuned_generator(path: Path, generator: Generator, fingerprint: str) -> None:
    """Write a generator that was trained together with an embedding network.

    Args:
        path: Where to write; ends in .safetensors.
        generator: The generator.
        fingerprint: Fingerprint of the generator that it was tuned from.
    """
    sidecar = {"name": path.stem, "family": "tuned-generator", "generator": fingerprint}
    save_network(path, generator.state_dict(), sidecar)
