"""The training loop of the embedding network, on generated pairs, photographs, or both.

Source: Guan et al. 2020, section 3.3; the stage on generated pairs only is our addition.
"""

import dataclasses
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.generators.contract import Generator
from model_core.generators.sampling import seeded
from model_core.images import to_float
from model_core.networks.saving import save_embedding_network, save_tuned_generator
from model_core.runtime.precision import FLOAT32, Precision
from model_core.training.code_cache import CodeCache
from model_core.training.config import TrainConfig
from model_core.training.data.augmentation import augment, vary
from model_core.training.data.pairs import make_render
from model_core.training.data.photo_stream import PhotoStream
from model_core.training.data.producer import PairProducer
from model_core.training.distributed import Ranks
from model_core.training.ema import TrainedNetwork, unfreeze_synthesis
from model_core.training.iterator_supervision import (
    IteratorSupervisor,
    IteratorTargets,
    average_figures,
)
from model_core.training.losses.objective import Objective
from model_core.training.run_loop import RunLoop
from model_core.training.validation import Validator


@dataclass(frozen=True, slots=True)
class PhotoShard:
    """One shard of the photographs and its supervision.

    Attributes:
        stream: Stream the photographs are drawn from.
        supervisor: Improves their codes; None if only the photos supervise.
    """

    stream: PhotoStream
    supervisor: IteratorSupervisor | None


@dataclass(frozen=True, slots=True)
class PhotoRows:
    """The photographs of one shard in a batch.

    Attributes:
        rows: Their rows in the batch.
        slots: Slots of their codes in the shard's cache.
    """

    rows: slice
    slots: Int[Tensor, " rows"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's training data for this process.

    Attributes:
        x: Network inputs, 256 px in [-1, 1], on the device.
        img: Targets: the inputs before augmentation.
        pairs: Rows of x and img that are generated pairs.
        ws: Codes of those rows, on the device.
        photos: The photographs by shard.
    """

    x: Float[Tensor, "batch 3 size size"]
    img: Float[Tensor, "batch 3 size size"]
    pairs: slice
    ws: Float[Tensor, "pairs num_ws w_dim"]
    photos: dict[int, PhotoRows]


class Training(RunLoop):
    """One training run of the embedding network, and of the generator if it is trained too.

    Args:
        config: Hyperparameters.
        folder: Run folder: checkpoints, pairs, caches, TensorBoard events and contact sheets.
        generator: Frozen, on the CPU; samples codes.
        network: Moved to the device and trained in place.
        objective: Moved to the device; its generator is trained if the config says so.
        photos: Photographs by shard, for this process's shards; may be empty.
        validator: Measures the averaged network.
        ranks: The processes of the run.
        device: Device to compute on.
        precision: Precision of the frozen generator, and of the network if `amp` is set.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        generator: Generator,
        network: EmbeddingNetwork,
        objective: Objective,
        photos: dict[int, PhotoShard],
        validator: Validator,
        ranks: Ranks,
        device: torch.device,
        precision: Precision = FLOAT32,
    ):
        self.precision, self.device = precision, device
        self._network_precision = precision if config.amp else FLOAT32
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective = objective.to(device)
        self.photos, self.validator = photos, validator
        learning = [p for p in self.network.parameters() if p.requires_grad]
        embedder = TrainedNetwork(self.network, learning, config.lr)
        self.averaged = embedder.averaged
        networks: list[TrainedNetwork[Any]] = [embedder]
        modules: dict[str, nn.Module] = {"network": self.network, "averaged": self.averaged}
        self.averaged_generator: Generator | None = None
        if config.tune_generator:
            tuned = self.objective.render.generator
            trained = TrainedNetwork(tuned, unfreeze_synthesis(tuned), config.generator_lr)
            self.averaged_generator = trained.averaged
            networks.append(trained)
            modules |= {"generator": tuned, "averaged_generator": trained.averaged}
        super().__init__(config, folder, networks, modules, ranks)
        self._parallel = DistributedDataParallel(self.network) if ranks.size > 1 else self.network
        self.producer = PairProducer.of_run(
            config, folder, generator, device, precision.dtype, ranks
        )
        self._shards = ranks.shards(config.shards)

    def step(self, step: int) -> dict[str, float]:
        """Do one optimiser step; its randomness depends only on seed and step."""
        batch = self._draw(step)
        self._train_mode()
        with self._network_precision.autocast(self.device.type):
            predicted = self._parallel(batch.x)
        terms, figures = self._compare(predicted.float(), batch)
        norm = self._descend(self.objective.total(terms), step)
        values = {name: value.item() for name, value in terms.items()}
        return values | figures | {"grad_norm": norm}

    def validate(self, step: int) -> dict[str, float]:
        """Measure the averaged network and write its contact sheet."""
        sheet = self._sheet(step)
        if self.averaged_generator is None:
            return self.validator(self.averaged, sheet)
        dtype = self.precision.dtype
        render = make_render(self.averaged_generator, self.device, compiled=False, dtype=dtype)
        return self.validator(self.averaged, sheet, render)

    def export(self, path: Path, fingerprint: str) -> None:
        """Write the averaged network, and a generator trained with it to FILE_generator."""
        about = {"training": dataclasses.asdict(self.config)}
        save_embedding_network(path, self.averaged, fingerprint, about, self.config.tune_identity)
        if self.averaged_generator is not None:
            tuned = path.with_stem(f"{path.stem}_generator")
            save_tuned_generator(tuned, self.averaged_generator, fingerprint)

    def _average_gradients(self) -> None:
        # DDP averages the embedding network's gradients during the backward pass.
        for each in self._trained[1:]:
            self.ranks.average(p.grad for p in each.parameters if p.grad is not None)

    def _draw(self, step: int) -> Batch:
        """Draw the step's pairs and photographs, shard by shard."""
        config = self.config
        # Keyed by stream name, which seeds the augmentation.
        images: dict[str, UInt8[Tensor, "batch 3 size size"]] = {}
        codes = [torch.empty(0, *self.producer.ring.code_shape)]
        if config.pairs_per_shard:
            for k, (drawn, known) in self.producer.draw(step, self._shards).items():
                images[f"pairs-{k}"] = drawn
                codes.append(known)
        ws = torch.cat(codes).to(self.device)
        photos: dict[int, PhotoRows] = {}
        first = len(ws)  # photographs follow the pairs
        for k, shard in self.photos.items():
            photo_batch = shard.stream.draw(step, config.photos_per_shard)
            images[f"photos-{k}"] = photo_batch.img
            rows = slice(first, first + len(photo_batch.img))
            photos[k] = PhotoRows(rows, photo_batch.slots)
            first = rows.stop
        floats = {name: to_float(img.to(self.device)) for name, img in images.items()}
        for name in (f"photos-{k}" for k in photos):
            random = seeded(config.seed, f"vary-{name}", step)
            floats[name] = vary(floats[name], config.photo_light, config.photo_warp, random)
        changed = [self._augment(img, f"augment-{name}", step) for name, img in floats.items()]
        img = torch.cat([*floats.values()])  # (pairs and photographs, 3, size, size)
        return Batch(torch.cat(changed), img, slice(0, len(ws)), ws, photos)

    def _augment(
        self, img: Float[Tensor, "batch 3 size size"], stream: str, step: int
    ) -> Float[Tensor, "batch 3 size size"]:
        config = self.config
        random = seeded(config.seed, stream, step)
        return augment(img, config.jitter, config.degrade_share, random)

    def _compare(
        self,
        predicted: Float[Tensor, "batch num_ws w_dim"],
        batch: Batch,
    ) -> tuple[dict[str, Float[Tensor, ""]], dict[str, float]]:
        """Run the iterator on the photographs' codes; return the losses and other metrics."""
        config = self.config
        known = [(batch.pairs, batch.ws)]
        seen: list[tuple[slice, Float[Tensor, "rows 3 size size"]]] = []
        if config.pair_images and len(batch.ws):
            seen.append((batch.pairs, self._small(batch.img[batch.pairs])))
        supervised: list[IteratorTargets] = []
        for k, photos in batch.photos.items():
            target = self._small(batch.img[photos.rows])
            if supervisor := self.photos[k].supervisor:
                found = supervisor.supervise(target, photos.slots, predicted[photos.rows])
                supervised.append(found)
                known.append((photos.rows, found.ws))
                if config.supervision == "iterator":
                    with torch.no_grad():
                        target = self.objective.render(found.ws).to(target.dtype)
            seen.append((photos.rows, target))
        terms: dict[str, Float[Tensor, ""]] = {}
        codes, ws = _join(predicted, known)
        if len(codes):
            terms |= self.objective.codes(codes, ws)
        if seen:
            terms |= self.objective.images(*_join(predicted, seen))
        figures = average_figures(supervised)
        if caches := self._caches:
            figures["cache_filled"] = sum(cache.filled for cache in caches) / len(caches)
        return terms, figures

    def _small(self, img: Float[Tensor, "n 3 size size"]) -> Float[Tensor, "n 3 small small"]:
        return F.adaptive_avg_pool2d(img, self.config.loss_px)

    def _train_mode(self) -> None:
        self.network.train()
        if self.config.freeze_norms:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    @property
    def _sources(self) -> list[AbstractContextManager[object]]:
        return [self.producer, *(shard.stream for shard in self.photos.values())]

    @property
    def _caches(self) -> list[CodeCache]:
        return [shard.supervisor.cache for shard in self.photos.values() if shard.supervisor]


def _join(
    predicted: Float[Tensor, "batch num_ws w_dim"], targets: list[tuple[slice, Tensor]]
) -> tuple[Float[Tensor, "n num_ws w_dim"], Float[Tensor, "n ..."]]:
    """Concatenate the predicted codes of some rows, and their targets."""
    rows = torch.cat([predicted[rows] for rows, _ in targets])
    return rows, torch.cat([target for _, target in targets])
