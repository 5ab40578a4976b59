"""The training loop of the detail encoder; the other networks are frozen.

It trains on photographs and, if asked for, on generated faces. No loss applies to the image of the
code alone, because the embedding network is frozen: it cannot leave its work to the detail.
"""

import dataclasses
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from model_core.encoders.detail_encoder import DetailEncoder
from model_core.generators.sampling import seeded
from model_core.images import FACE_PX, to_float
from model_core.networks.saving import save_detail_encoder
from model_core.shapes import Images
from model_core.training.config import TrainConfig
from model_core.training.data.augmentation import vary
from model_core.training.data.photo_stream import PhotoStream
from model_core.training.data.producer import PairProducer
from model_core.training.detail.objective import DetailObjective
from model_core.training.detail.path import DetailPath
from model_core.training.detail.validation import DetailValidator
from model_core.training.distributed import Ranks
from model_core.training.ema import TrainedNetwork
from model_core.training.run_loop import RunLoop


def compares_true_output(config: TrainConfig, step: int) -> bool:
    """Return whether a step renders with the full generator: one in `true_every`, near the end."""
    first = config.steps - math.ceil(config.true_share * config.steps)
    return config.true_every > 0 and step >= first and step % config.true_every == 0


class DetailTraining(RunLoop):
    """One training run of the detail encoder.

    Args:
        config: Hyperparameters.
        folder: Run folder.
        encoder: Works on features in the path's units; moved to the device and trained in place.
        path: The frozen networks; on the device.
        objective: The losses; on the device.
        streams: Photographs by shard, for this process's shards.
        producer: Generates faces; None if the config wants none.
        validator: Measures the averaged encoder.
        ranks: The processes of the run; all start with the same weights and units.
        device: Device to compute on.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        encoder: DetailEncoder,
        path: DetailPath,
        objective: DetailObjective,
        streams: Mapping[int, PhotoStream],
        producer: PairProducer | None,
        validator: DetailValidator,
        ranks: Ranks,
        device: torch.device,
    ):
        self.encoder = encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.path, self.objective, self.device = path, objective, device
        self.streams, self.producer, self.validator = streams, producer, validator
        trained = TrainedNetwork(self.encoder, self.encoder.parameters(), config.lr)
        self.averaged = trained.averaged
        modules: dict[str, nn.Module] = {
            "network": self.encoder,
            "averaged": self.averaged,
            "units": path.units,
        }
        super().__init__(config, folder, [trained], modules, ranks)

    @property
    def _sources(self) -> list[AbstractContextManager[object]]:
        producer = [self.producer] if self.producer else []
        return [*producer, *self.streams.values()]

    def step(self, step: int) -> dict[str, float]:
        """Do one optimiser step; its randomness depends only on seed and step."""
        photos = self._draw(step)
        ws, features = self.path.embed(photos)
        self.encoder.train()
        detail, corrected = self.path.correct(self.encoder, photos, features, ws)
        large = None
        if compares_true_output(self.config, step):
            large = self.path.render_full_size(corrected, ws)
            img = F.adaptive_avg_pool2d(large, FACE_PX)
        else:
            img = self.path.render(corrected, ws)
        terms = self.objective(detail, img, photos, large)
        norm = self._descend(self.objective.total(terms), step)
        return {name: value.item() for name, value in terms.items()} | {"grad_norm": norm}

    def validate(self, step: int) -> dict[str, float]:
        """Measure the averaged encoder and write its contact sheet."""
        return self.validator(self.averaged, self._sheet(step))

    def export(self, path: Path, fingerprint: str) -> None:
        """Write the averaged encoder in the format of load_detail_encoder."""
        published = self.path.units.published(self.averaged)
        about = {"training": dataclasses.asdict(self.config)}
        save_detail_encoder(path, published, fingerprint, about)

    def _draw(self, step: int) -> Images:
        """Draw the step's photographs and generated faces, shard by shard."""
        config = self.config
        drawn = []
        if self.producer:
            pairs = self.producer.draw(step, self.streams)
            drawn += [to_float(img.to(self.device)) for img, _ in pairs.values()]
        for k, stream in self.streams.items():
            img = to_float(stream.draw(step, config.photos_per_shard).img.to(self.device))
            random = seeded(config.seed, f"vary-photos-{k}", step)
            drawn.append(vary(img, config.photo_light, config.photo_warp, random))
        return torch.cat(drawn)
