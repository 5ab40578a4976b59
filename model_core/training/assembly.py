"""Build the parts every training run shares from settings, weights and photographs."""

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
    """The files a run reads.

    Attributes:
        cache: Weights cache.
        head_weights: Image head; read only if the config asks for one.
        generator: Name of the default generator or a converted one.
        photos: Folders of aligned photographs.
        persons: TSV of who is in which photograph, or None.
        start: Network to start from, of the kind being trained; None starts untrained.
        network: Embedding network the detail encoder is trained for; read only in that training.
        trunks: Folder of torchvision weights, or None.
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
    """Load a run's weights and build its parts from them.

    Args:
        inputs: The files to read.
        config: Hyperparameters.
        run: Run folder.
        ranks: The processes of the run.
        device: Device to compute on.
        precision: Precision of the frozen networks, and of the trained one if `amp` is set.

    Raises:
        WplusError: If weights cannot be read or the folder belongs to another run.
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
        # The other losses compute in the dtype of their inputs.
        fast = distance.to(precision.dtype) if isinstance(distance, STLPIPS) else distance
        self.perceptual = fast
        if ranks.is_main:
            claim(run, config, self._digests())
        self._report = tqdm.write if ranks.is_main else None
        self._folders = Photos.split_each(inputs.photos, inputs.persons, self._report)

    @abstractmethod
    def training(self) -> RunLoop:
        """Build the run."""

    def _check_generator(self) -> None:  # noqa: B027
        """Refuse a generator the run cannot use, before claiming the folder."""

    def _digests(self) -> dict[str, str]:
        """Return digests of the weights the run's state depends on, for `claim`."""
        digests = {"generator": self.fingerprint, "perceptual": self.perceptual.name}
        if self._head:
            digests["head"] = str(read_sidecar(self._inputs.head_weights)["sha256"])
        return digests

    def _streams(self) -> dict[int, PhotoStream]:
        """Open the photo streams of the shards this process owns."""
        config = self._config
        if not self._folders:
            raise InvalidInputError("photos must be folders of images for this preset, got none")
        folders = [training for training, _ in self._folders]
        weights = config.photo_weights or tuple(float(len(photos)) for photos in folders)
        return {
            k: PhotoStream(
                folders, weights, k, config.shards, config.seed, config.steps, tqdm.write
            )
            for k in self._ranks.shards(config.shards)
        }

    def _describer(self) -> PersonDescriber:
        """Load the recogniser of the identity loss."""
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
