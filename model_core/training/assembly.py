"""What every training run is put together from: settings, weights and photographs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from model_core.errors import InvalidInputError
from model_core.generators.image_head import ImageHead
from model_core.networks.distances import load_distance
from model_core.networks.loading import load_generator, load_image_head
from model_core.perceptual.stlpips import STLPIPS
from model_core.runtime.precision import FLOAT32, Precision
from model_core.training.config import TrainConfig
from model_core.training.data.photo_stream import PhotoStream
from model_core.training.data.photos import Photos
from model_core.training.distributed import Ranks
from model_core.training.losses.identity import PersonDescriber, load_describer
from model_core.training.run_folder import claim
from model_core.training.run_loop import RunLoop
from model_core.weights.cache import DEFAULT_GENERATOR
from model_core.weights.files import read_sidecar
from model_core.weights.shipped import EMBEDDING_NETWORK


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInputs:
    """The files that a run reads.

    Attributes:
        cache: Weights cache.
        head_weights: Image head; read where the config asks for one.
        generator: The default one, or a converted one's name.
        photos: Folders of aligned photographs.
        persons: TSV of who is in which photograph, or None.
        start: Network to begin with, of the kind that is trained; None begins untrained.
        network: Embedding network that the detail encoder goes with; read where that is trained.
        trunks: Folder with torchvision's weights, or None.
    """

    cache: Path
    head_weights: Path
    generator: str = DEFAULT_GENERATOR
    photos: Sequence[Path] = ()
    persons: Path | None = None
    start: Path | None = None
    network: Path = EMBEDDING_NETWORK
    trunks: Path | None = None


class Assembly(ABC):
    """The weights of a run and how its parts are made from them.

    Args:
        inputs: The files to read.
        config: Hyperparameters.
        run: Run folder.
        ranks: The processes of the run.
        device: Where to compute.
        precision: What frozen networks compute in, and the trained one where `amp` lets it.

    Raises:
        WplusError: If weights cannot be read or the folder is another run's.
    """

    def __init__(
        self,
        inputs: RunInputs,
        config: TrainConfig,
        run: Path,
        ranks: Ranks,
        device: torch.device,
        precision: Precision = FLOAT32,
    ):
        self._precision = precision
        self._inputs, self._config, self._run = inputs, config, run
        self._ranks, self._device = ranks, device
        self.generator, self.fingerprint = load_generator(inputs.cache, inputs.generator)
        self._check_generator()
        self._head = self._load_head() if config.head else None
        distance = load_distance(config.perceptual, inputs.cache, inputs.trunks)
        # The others compute in the type that they are given.
        fast = distance.to(precision.dtype) if isinstance(distance, STLPIPS) else distance
        self.perceptual = fast
        if ranks.is_main:
            claim(run, config, self._digests())
        self._report = tqdm.write if ranks.is_main else None
        self._folders = Photos.split_each(inputs.photos, inputs.persons, self._report)

    @abstractmethod
    def training(self) -> RunLoop:
        """Make the run."""

    def _check_generator(self) -> None:  # noqa: B027
        """Refuse a generator that the run cannot use, before the folder is taken."""

    def _digests(self) -> dict[str, str]:
        """Return what the run's state depends on, for `claim`."""
        digests = {"generator": self.fingerprint, "perceptual": self.perceptual.name}
        if self._head:
            digests["head"] = str(read_sidecar(self._inputs.head_weights)["sha256"])
        return digests

    def _streams(self) -> dict[int, PhotoStream]:
        """Make the streams of the shards that this process owns."""
        config = self._config
        if not self._folders:
            raise InvalidInputError("photos must be folders with images for this preset, got none")
        folders = [training for training, _ in self._folders]
        weights = config.photo_weights or tuple(float(len(photos)) for photos in folders)
        return {
            k: PhotoStream(
                folders, weights, k, config.shards, config.seed, config.steps, tqdm.write
            )
            for k in self._ranks.shards(config.shards)
        }

    def _describer(self) -> PersonDescriber:
        """Load the recogniser by which persons in images are compared."""
        place = (self._device, self._precision.dtype)
        return load_describer(self._inputs.cache, self._config.identity, *place)

    def _load_head(self) -> ImageHead:
        head = load_image_head(self._inputs.head_weights, self.fingerprint)
        if head.config.img_px != self._config.loss_px:
            raise InvalidInputError(
                f"loss_px must be {head.config.img_px}, the size of the image head, "
                f"got {self._config.loss_px}"
            )
        return head
