"""A training run of the detail encoder, small enough for tests; all its parts are real."""

import dataclasses
import sys
from pathlib import Path

import torch
from PIL import Image

from model_core.encoders.detail_encoder import DetailEncoder
from model_core.generators.image_head import ImageHead
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.images import to_pixels, to_uint8
from model_core.training.config import TrainConfig
from model_core.training.data.photo_stream import PhotoStream
from model_core.training.data.photos import Photos
from model_core.training.data.producer import PairProducer
from model_core.training.detail.loop import DetailTraining
from model_core.training.detail.objective import DetailObjective
from model_core.training.detail.path import DetailPath, FeatureUnits, detail_config
from model_core.training.detail.start import begin
from model_core.training.detail.validation import DetailValidator
from model_core.training.distributed import Ranks
from model_core.training.losses.identity import PersonDescriber
from tests.model_core.training.tiny import MeanColour, PixelDistance, make_network

CONFIG = TrainConfig.load(
    "detail",
    {
        "steps": 4,
        "batch": 2,
        "warmup_steps": 1,
        "checkpoint_every": 2,
        "validate_every": 100,
        "validation_photos": 2,
        "identity_weight": 0.1,
        "photo_light": 0.1,
        "true_every": 2,
        "full_size_weight": 1.0,
        "true_share": 1.0,
    },
)
WITH_PAIRS = dataclasses.replace(CONFIG, generated_share=0.5, window=8)
ONE_STEP = dataclasses.replace(WITH_PAIRS, steps=1, batch=4, shards=2, amp=False)


def make_generator():
    """A generator of 512 px with codes of 14 x 16, whose images and gradients do not vanish."""
    torch.manual_seed(0)
    config = MobileStyleGANConfig(w_dim=16, mapping_layers=1, const_size_px=4, widths=(16,) * 6)
    generator = MobileStyleGAN(config)
    torch.nn.init.normal_(generator.const)
    for module in generator.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, a=0.2)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.1)
            torch.nn.init.ones_(module.bias)
    ws = torch.randn(8, generator.num_ws, generator.w_dim)
    with torch.no_grad():
        contrast = generator.synthesis(ws).std()
        generator.to_img.weight.mul_(0.5 / contrast)
    return generator.eval().requires_grad_(False)


@torch.no_grad()
def make_faces(folder, count=6):
    """Faces of the generator whose features no code of the untrained embedding network gives.

    The rows above them are those that it gives, so that a detail can say all of the rest.
    """
    folder.mkdir(exist_ok=True)
    generator, random = make_generator(), torch.Generator().manual_seed(5)
    ws = torch.randn(count, generator.num_ws, generator.w_dim, generator=random)
    ws[:, detail_config(generator).first_row :] = generator.w_mean
    for i, img in enumerate(to_uint8(generator.synthesis(ws))):
        Image.fromarray(to_pixels(img)).save(folder / f"{i}.png")
    return Photos(sorted(folder.iterdir()))


def make_path(generator, units=None):
    """The frozen networks, with a head that is not fitted."""
    sizes = detail_config(generator)
    units = units or FeatureUnits(torch.ones(sizes.features))
    return DetailPath(make_network(generator), generator, units, ImageHead.above(generator, 5))


def make_encoder(generator):
    """An untrained encoder of few weights."""
    torch.manual_seed(2)
    sizes = dataclasses.replace(
        detail_config(generator), bottleneck=16, width=16, half_width=16, quarter_width=16
    )
    return DetailEncoder(sizes, generator.w_mean, generator.w_std)


def make_training(config, folder, photos, ranks):
    """A run in a folder, always from the same start."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = make_generator()
    path, encoder, device = make_path(generator), make_encoder(generator), torch.device("cpu")
    begin(encoder, path, photos.read_first(4))
    streams = {
        k: PhotoStream([photos], [1.0], k, config.shards, config.seed, config.steps)
        for k in ranks.shards(config.shards)
    }
    lpips = PixelDistance()
    objective = DetailObjective(config, lpips, PersonDescriber(MeanColour()))
    validator = DetailValidator(photos.read_first(config.validation_photos), path, lpips)
    producer = None
    if config.pairs_per_shard:
        producer = PairProducer.of_run(config, folder, generator, device, torch.float32, ranks)
    return DetailTraining(
        config, folder, encoder, path, objective, streams, producer, validator, ranks, device
    )


def main(folder: Path, photos: Path) -> None:
    """Do one step of a training on two shards, alone or as one of several processes."""
    ranks = Ranks.join(torch.device("cpu"))
    make_training(ONE_STEP, folder, Photos(sorted(photos.iterdir())), ranks).run(report=str)
    ranks.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
