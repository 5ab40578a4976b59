"""Build a training run of the detail encoder."""

import torch

from model_core.encoders.detail_encoder import DetailEncoder
from model_core.errors import CheckpointError
from model_core.networks.loading import (
    load_detail_encoder,
    load_embedding_network,
    load_stlpips,
)
from model_core.training.assembly import Assembly
from model_core.training.checkpoint import newest_checkpoint
from model_core.training.data.photos import Photos
from model_core.training.data.producer import PairProducer
from model_core.training.detail.loop import DetailTraining
from model_core.training.detail.objective import DetailObjective
from model_core.training.detail.path import (
    DetailPath,
    FeatureUnits,
    detail_config,
    require_cut,
)
from model_core.training.detail.start import begin
from model_core.training.detail.validation import DetailValidator
from model_core.training.run_loop import CHECKPOINTS
from model_core.weights.files import read_sidecar

FIRST_PHOTOS = 64
"""Number of photos used to measure the features' spread and to fit the sketch."""


class DetailAssembly(Assembly):
    """Build the parts of a training run of the detail encoder."""

    def training(self) -> DetailTraining:
        """Build the run.

        Raises:
            InvalidInputError: If no photographs are given.
            WplusError: If the embedding network or the start cannot be read.
        """
        config, device = self._config, self._device
        torch.manual_seed(config.seed)
        streams = self._streams()
        generator = require_cut(self.generator)
        sizes = detail_config(generator)
        network = load_embedding_network(
            self._inputs.network, self._inputs.cache, generator, self.fingerprint
        )
        units = FeatureUnits(torch.ones(sizes.features))
        path = DetailPath(network, generator, units, self._head, self._precision, config.amp)
        path.to(device)
        encoder = DetailEncoder(sizes, generator.w_mean, generator.w_std)
        if newest_checkpoint(self._run / CHECKPOINTS) is None:  # a checkpoint holds all of this
            self._begin(encoder, path)
        encoder.to(device)
        # Share rank 0's fit: fits on different processors may differ in the last digit.
        self._ranks.average([path.units.spread, *(p.data for p in encoder.parameters())])
        held = Photos.drawn(photos for _, photos in self._folders)
        held_out = held.read_first(config.validation_photos, self._report)
        lpips = load_stlpips(self._inputs.cache, "alex").to(device)
        return DetailTraining(
            config,
            self._run,
            encoder,
            path,
            self._detail_objective().to(device),
            streams,
            self._producer(),
            DetailValidator(held_out, path, lpips),
            self._ranks,
            device,
        )

    def _check_generator(self) -> None:
        detail_config(require_cut(self.generator))

    def _digests(self) -> dict[str, str]:
        network = str(read_sidecar(self._inputs.network)["sha256"])
        return super()._digests() | {"embedding": network}

    def _begin(self, encoder: DetailEncoder, path: DetailPath) -> None:
        """Set the units and the encoder, untrained or from the start file."""
        photos = Photos.drawn(photos for photos, _ in self._folders)
        begin(encoder, path, photos.read_first(FIRST_PHOTOS, self._report))
        if start := self._inputs.start:
            loaded, _ = load_detail_encoder(start, self.generator, self.fingerprint)
            if loaded.config != encoder.config:
                raise CheckpointError(
                    f"{start.name} must be a detail encoder of {encoder.config}, "
                    f"got {loaded.config}"
                )
            encoder.load_state_dict(loaded.state_dict())
            path.units.adapt(encoder)

    def _producer(self) -> PairProducer | None:
        if not self._config.pairs_per_shard:
            return None
        dtype = self._precision.dtype
        return PairProducer.of_run(
            self._config, self._run, self.generator, self._device, dtype, self._ranks
        )

    def _detail_objective(self) -> DetailObjective:
        return DetailObjective(self._config, self.perceptual, self._describer())
