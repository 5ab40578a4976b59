"""Put a training run together from its settings and the weights that it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.errors import InvalidInputError
from model_core.generators.image_head import ImageHead
from model_core.inversion.iterator import IteratorConfig, LatentIterator
from model_core.inversion.rendering import SmallImages
from model_core.networks.distances import load_distance
from model_core.networks.loading import (
    load_embedding_network,
    load_generator,
    load_image_head,
    load_stlpips,
    new_embedding_network,
)
from model_core.perceptual.stlpips import STLPIPS
from model_core.runtime.precision import FLOAT32, Precision
from model_core.training.code_cache import CodeCache
from model_core.training.config import TrainConfig
from model_core.training.data.pairs import make_render
from model_core.training.data.photo_stream import PhotoStream
from model_core.training.data.photos import Photos
from model_core.training.distributed import Ranks
from model_core.training.iterator_supervision import IteratorSupervisor
from model_core.training.loop import PhotoShard, Training
from model_core.training.losses.code_losses import SensitivityLoss, StyleLoss, measure_row_weights
from model_core.training.losses.objective import Objective
from model_core.training.losses.sensitivity import load_or_sample
from model_core.training.run_folder import claim
from model_core.training.validation import Validator, hold_out
from model_core.weights.cache import DEFAULT_GENERATOR
from model_core.weights.files import read_sidecar


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInputs:
    """The files that a run reads.

    Attributes:
        cache: Weights cache.
        head_weights: Image head; read where the config asks for one.
        generator: The default one, or a converted one's name.
        photos: Folders of aligned photographs.
        persons: TSV of who is in which photograph, or None.
        start: Embedding network to begin with; None begins untrained.
        trunks: Folder with torchvision's weights, or None.
    """

    cache: Path
    head_weights: Path
    generator: str = DEFAULT_GENERATOR
    photos: Sequence[Path] = ()
    persons: Path | None = None
    start: Path | None = None
    trunks: Path | None = None


class Assembly:
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
        weights = {"generator": self.fingerprint}
        self._head = self._load_head() if config.head else None
        if config.head:
            weights["head"] = str(read_sidecar(inputs.head_weights)["sha256"])
        distance = load_distance(config.perceptual, inputs.cache, inputs.trunks)
        weights["perceptual"] = distance.name
        # The others compute in the type that they are given.
        fast = distance.to(precision.dtype) if isinstance(distance, STLPIPS) else distance
        self.perceptual = fast
        if ranks.is_main:
            claim(run, config, weights)
        self._report = tqdm.write if ranks.is_main else None
        self._folders = Photos.split_each(inputs.photos, inputs.persons, self._report)

    def training(self) -> Training:
        """Make the run.

        Raises:
            InvalidInputError: If photographs are to be trained on and none are given.
        """
        config, generator, device = self._config, self.generator, self._device
        torch.manual_seed(config.seed)
        render = make_render(generator, device, config.compile, self._precision.dtype)
        lpips = load_stlpips(self._inputs.cache, "alex").to(device)
        rows = measure_row_weights(generator, render, config.influence_samples, config.seed)
        style = StyleLoss(generator, rows).to(device)
        held = Photos.drawn(photos for _, photos in self._folders)
        held_out = hold_out(generator, render, config, held, self._report)
        validator = Validator(held_out, render, style, lpips, self._precision)
        objective = self._objective(style)
        return Training(
            config,
            self._run,
            generator,
            self.network(),
            objective,
            self._photo_shards(objective),
            validator,
            self._ranks,
            device,
            self._precision,
        )

    def network(self) -> EmbeddingNetwork:
        """Make the embedding network that the run starts with, untrained or from a file.

        Raises:
            InvalidInputError: If the file holds a network of another kind.
        """
        inputs, config = self._inputs, self._config
        network = new_embedding_network(
            inputs.cache,
            self.generator,
            config.attribute_px,
            config.disentangled,
            config.identity,
        )
        if inputs.start:
            source = (inputs.start, inputs.cache, self.generator, self.fingerprint)
            start = load_embedding_network(*source)
            for name in ("disentangled", "identity"):
                asked, got = getattr(network.config, name), getattr(start.config, name)
                if asked != got:
                    raise InvalidInputError(
                        f"--start must be a network with {name} {asked}, got {got}"
                    )
            network.load_state_dict(start.state_dict())
        network.identity.requires_grad_(config.tune_identity)
        return network

    def _load_head(self) -> ImageHead:
        head = load_image_head(self._inputs.head_weights, self.fingerprint)
        if head.config.img_px != self._config.loss_px:
            raise InvalidInputError(
                f"loss_px must be {head.config.img_px}, the size of the image head, "
                f"got {self._config.loss_px}"
            )
        return head

    def _objective(self, style: StyleLoss) -> Objective:
        config, generator = self._config, self.generator
        # Adam's steps on the generator's weights are lost in bfloat16's rounding.
        dtype = torch.float32 if config.tune_generator else self._precision.dtype
        folded = not config.tune_generator
        images = SmallImages(generator, config.loss_px, self._head, dtype, folded)
        gradients = torch.zeros(1, generator.num_ws, generator.w_dim)
        if config.sensitivity_weight:
            stored = self._run / "sensitivity.safetensors"
            source = (stored, generator, self.fingerprint, config, self._device)
            if self._ranks.is_main:
                load_or_sample(*source, self._precision.dtype)
            self._ranks.wait()
            gradients = load_or_sample(*source, self._precision.dtype)
        sensitivity = SensitivityLoss(gradients)
        return Objective(config, style, sensitivity, generator.w_std, images, self.perceptual)

    def _photo_shards(self, objective: Objective) -> dict[int, PhotoShard]:
        config = self._config
        if not config.photos_per_shard:
            return {}
        if not self._folders:
            raise InvalidInputError("photos must be folders with images for this preset, got none")
        folders = [training for training, _ in self._folders]
        weights = config.photo_weights or tuple(float(len(photos)) for photos in folders)
        made = {}
        for k in self._ranks.shards(config.shards):
            stream = PhotoStream(
                folders, weights, k, config.shards, config.seed, config.steps, tqdm.write
            )
            made[k] = PhotoShard(stream, self._supervisor(objective, stream, k))
        return made

    def _supervisor(
        self, objective: Objective, stream: PhotoStream, shard: int
    ) -> IteratorSupervisor | None:
        config = self._config
        if config.supervision == "photo":
            return None
        shape = (self.generator.num_ws, self.generator.w_dim)
        cache = CodeCache(self._run / f"cache-{shard}", stream.keys, shape)
        settings = IteratorConfig(alpha=config.alpha, lr=config.iterator_lr)
        render = torch.compile(objective.render) if config.compile else objective.render
        iterator = LatentIterator(render, objective.perceptual, settings)
        return IteratorSupervisor(iterator, cache, config.iterator_steps, config.from_cache)
