"""The shipped networks, as the service runs them, for the iterator's benchmarks."""

from pathlib import Path

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.generators.contract import Generator
from model_core.generators.image_head import ImageHead
from model_core.inversion.rendering import SmallImages
from model_core.networks.loading import (
    load_embedding_network,
    load_generator,
    load_image_head,
    load_stlpips,
)
from model_core.perceptual.stlpips import STLPIPS
from model_core.runtime.precision import choose_precision

WEIGHTS = Path(__file__).parents[1] / "weights"


def load_networks(cache: Path, head: Path) -> tuple[Generator, EmbeddingNetwork, ImageHead]:
    """Load the default generator, the embedding network, and one of the generator's image heads."""
    generator, fingerprint = load_generator(cache)
    file = WEIGHTS / "embedding.safetensors"
    network = load_embedding_network(file, cache, generator, fingerprint)
    return generator, network, load_image_head(head, fingerprint)


def small_images(generator: Generator, size_px: int, head: ImageHead | None = None) -> SmallImages:
    """Build the iterator's renderer, in the faster precision on this machine."""
    return SmallImages(generator, size_px, head, choose_precision().dtype)


def load_loss(cache: Path) -> STLPIPS:
    """Load the perceptual term of the iterator's loss, in the same precision."""
    return load_stlpips(cache).to(choose_precision().dtype)
