"""A training run small enough for tests: a real generator, network and loop, all tiny."""

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from model_core.encoders.embedding_network import EmbeddingNetwork, EmbeddingNetworkConfig
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.inversion.iterator import LatentIterator
from model_core.inversion.rendering import SmallImages
from model_core.perceptual.stlpips import Perceptual
from model_core.training.code_cache import CodeCache
from model_core.training.config import TrainConfig
from model_core.training.data.pairs import make_render
from model_core.training.data.photo_stream import PhotoStream
from model_core.training.data.photos import Photos
from model_core.training.distributed import Ranks
from model_core.training.iterator_supervision import IteratorSupervisor
from model_core.training.loop import PhotoShard, Training
from model_core.training.losses.code_losses import SensitivityLoss, StyleLoss
from model_core.training.losses.objective import Objective
from model_core.training.validation import Validator, hold_out

CONFIG = TrainConfig(
    steps=4,
    batch=4,
    warmup_steps=2,
    replay=1.0,
    window=64,
    validate_every=100,
    jitter=0.1,
    degrade_share=0.3,
    checkpoint_every=2,
    validation_pairs=8,
    compile=False,
)
COLLABORATIVE = dataclasses.replace(
    CONFIG,
    jitter=0.0,
    degrade_share=0.0,
    generated_share=0.5,
    mse_weight=1.0,
    lpips_weight=1.0,
    freeze_norms=True,
    iterator_steps=2,
    loss_px=64,
    head=False,
)
TUNED = dataclasses.replace(
    COLLABORATIVE, supervision="photo", tune_generator=True, jitter=0.1, degrade_share=0.3
)
SINGLE = dataclasses.replace(COLLABORATIVE, disentangled=False)
ONE_STEP = {
    "collaborative": dataclasses.replace(COLLABORATIVE, steps=1, shards=2, amp=False),
    "tuned": dataclasses.replace(TUNED, steps=1, shards=2, amp=False),
}


class MeanColour(nn.Module):
    """An identity encoder: the mean of each channel, repeated."""

    def forward(self, img):
        return img.mean(dim=(2, 3)).repeat(1, 4)


class PixelDistance(Perceptual):
    """A perceptual distance that needs no weights."""

    name = "pixels"

    def features(self, img):
        return [img]


class WitnessedCache(CodeCache):
    """A cache in whose folder stands which processes opened it and wrote codes to it."""

    def __init__(self, folder, keys, code_shape):
        super().__init__(folder, keys, code_shape)
        self._witness = folder
        (folder / f"opened-by-{os.getpid()}").touch()

    def apply(self, step):
        if [*self._witness.glob("journal-*")]:
            (self._witness / f"written-by-{os.getpid()}").touch()
        super().apply(step)


def make_generator():
    """A generator of 512 px with codes of 16 x 16."""
    torch.manual_seed(0)
    config = MobileStyleGANConfig(
        w_dim=16, mapping_layers=2, const_size_px=4, widths=(8, 8, 4, 4, 4, 4)
    )
    generator = MobileStyleGAN(config)
    generator.const.normal_()
    return generator.eval().requires_grad_(False)


def make_network(generator, disentangled=True):
    """An untrained embedding network for it."""
    torch.manual_seed(1)
    config = EmbeddingNetworkConfig(
        num_ws=generator.num_ws,
        w_dim=16,
        attribute_px=64,
        identity_dim=12,
        disentangled=disentangled,
    )
    network = EmbeddingNetwork(config, MeanColour(), generator.w_mean, generator.w_std)
    for name in ("layer1", "layer2", "layer3", "layer4"):  # of ResNet-50: the first block of each
        setattr(network.attribute, name, getattr(network.attribute, name)[:1])
    return network


def make_photos(folder):
    """Eight images of coloured squares."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for i in range(8):
        small = random.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(small).resize((256, 256)).save(folder / f"{i}.png")
    return Photos(sorted(folder.iterdir()))


def make_training(config, folder, photos, ranks, kind=Training, objective_kind=Objective):
    """A run in a folder, always from the same start; of other kinds where a test looks on."""
    generator = make_generator()
    network = make_network(generator, config.disentangled)
    device, lpips = torch.device("cpu"), PixelDistance()
    render = make_render(generator, device, compiled=False)
    style = StyleLoss(generator, torch.ones(generator.num_ws))
    random = torch.Generator().manual_seed(3)
    gradients = torch.randn(8, generator.num_ws, generator.w_dim, generator=random)
    images = SmallImages(
        generator, config.loss_px, dtype=torch.float32, folded=not config.tune_generator
    )
    sensitivity = SensitivityLoss(gradients)
    objective = objective_kind(config, style, sensitivity, generator.w_std, images, lpips)
    shards = {}
    for k in ranks.shards(config.shards) if config.photos_per_shard else []:
        stream = PhotoStream([photos], [1.0], k, config.shards, 0, config.steps)
        supervisor = None
        if config.supervision != "photo":
            shape = (generator.num_ws, generator.w_dim)
            cache = WitnessedCache(folder / f"cache-{k}", stream.keys, shape)
            iterator = LatentIterator(images, lpips)
            supervisor = IteratorSupervisor(
                iterator, cache, config.iterator_steps, config.from_cache
            )
        shards[k] = PhotoShard(stream, supervisor)
    validator = Validator(hold_out(generator, render, config, None), render, style, lpips)
    return kind(config, folder, generator, network, objective, shards, validator, ranks, device)


def main(name: str, folder: Path, photos: Path) -> None:
    """Do one step of a training on two shards, alone or as one of several processes."""
    ranks = Ranks.join(torch.device("cpu"))
    make_training(ONE_STEP[name], folder, Photos(sorted(photos.iterdir())), ranks).run(report=str)
    ranks.leave()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
