"""Build a training run of the embedding network."""

import torch

from model_core.encoders.embedding_network import EmbeddingNetwork
from model_core.errors import InvalidInputError
from model_core.inversion.iterator import IteratorConfig, LatentIterator
from model_core.inversion.rendering import SmallImages
from model_core.networks.loading import (
    load_embedding_network,
    load_stlpips,
    new_embedding_network,
)
from model_core.runtime.backends import compile_lazily
from model_core.training.assembly import Assembly
from model_core.training.code_cache import CodeCache
from model_core.training.data.pairs import make_render
from model_core.training.data.photo_stream import PhotoStream
from model_core.training.data.photos import Photos
from model_core.training.iterator_supervision import IteratorSupervisor
from model_core.training.loop import PhotoShard, Training
from model_core.training.losses.code_losses import SensitivityLoss, StyleLoss, measure_row_weights
from model_core.training.losses.objective import Objective
from model_core.training.losses.sensitivity import load_or_sample
from model_core.training.validation import Validator, hold_out


class EmbeddingAssembly(Assembly):
    """Build the parts of a training run of the embedding network."""

    def training(self) -> Training:
        """Build the run.

        Raises:
            InvalidInputError: If the config trains on photographs and none are given.
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
        """Return the embedding network the run starts from, untrained or loaded from a file.

        Raises:
            InvalidInputError: If the file holds another kind of network.
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

    def _objective(self, style: StyleLoss) -> Objective:
        config, generator = self._config, self.generator
        # Adam's steps on the generator's weights are smaller than bfloat16's rounding.
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
        person = self._describer() if config.identity_weight else None
        return Objective(
            config, style, sensitivity, generator.w_std, images, self.perceptual, person
        )

    def _photo_shards(self, objective: Objective) -> dict[int, PhotoShard]:
        streams = self._streams() if self._config.photos_per_shard else {}
        return {
            k: PhotoShard(stream, self._supervisor(objective, stream, k))
            for k, stream in streams.items()
        }

    def _supervisor(
        self, objective: Objective, stream: PhotoStream, shard: int
    ) -> IteratorSupervisor | None:
        config = self._config
        if config.supervision == "photo":
            return None
        shape = (self.generator.num_ws, self.generator.w_dim)
        cache = CodeCache(self._run / f"cache-{shard}", stream.keys, shape)
        settings = IteratorConfig(alpha=config.alpha, lr=config.iterator_lr)
        render = compile_lazily(objective.render) if config.compile else objective.render
        iterator = LatentIterator(render, objective.perceptual, settings)
        return IteratorSupervisor(iterator, cache, config.iterator_steps, config.from_cache)
