"""A real generator and a real perceptual distance, small enough for a step of milliseconds.

Codes have the default generator's shape, (18, 512), and images 256 px.
"""

import math
import os
import signal
import time

import torch

from model_core.encoders.detail_encoder import CELL_PX, DetailEncoder, DetailEncoderConfig
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.inversion.detail_iterator import DetailRender
from model_core.inversion.iterator import IteratorConfig
from model_core.inversion.refiner import Refiner
from model_core.inversion.rendering import DetailImages, SmallImages
from model_core.inversion.two_stage import HeadRender
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.detail import DetailEncoding
from model_core.runtime.execution import Execution

FINGERPRINT = "f" * 64
DETAIL_FINGERPRINT = "d" * 64
SHAPE = (18, 512)
CONFIG = IteratorConfig(lr=0.02)
POISON = 90.0  # a code that reaches this ends the process that renders it


class Edges(Perceptual):
    """Differences of neighbouring pixels."""

    name = "edges"

    def features(self, img):
        return [img.diff(dim=3)]


def tiny_generator():
    torch.manual_seed(0)
    config = MobileStyleGANConfig(w_dim=512, mapping_layers=1, const_size_px=1, widths=(8,) * 7)
    generator = MobileStyleGAN(config)
    torch.nn.init.normal_(generator.const)
    for module in generator.modules():  # so that images, and their gradients, do not vanish
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, a=0.2)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.01)
            torch.nn.init.ones_(module.bias)
    return generator.eval().requires_grad_(False)


def black_head(size_px=16):
    """An image head that sees nothing but black, whatever the code."""

    def render(ws):
        return ws.sum() * 0 - torch.ones(len(ws), 3, size_px, size_px)

    return HeadRender(render, size_px)


def tiny_encoder(generator, photo_px):
    """A detail encoder for the tiny generator, of random weights."""
    torch.manual_seed(1)
    px = photo_px // CELL_PX
    config = DetailEncoderConfig(
        blocks=int(math.log2(px)),
        features=8,
        features_px=px,
        bottleneck=4,
        width=8,
        half_width=8,
        quarter_width=8,
        separable_layers=1,
        first_row=7,
    )
    encoder = DetailEncoder(config, generator.w_mean, generator.w_std)
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return encoder.eval().requires_grad_(False)


def tiny_refiner(
    step_s=0.0, head=None, detail=False, size_px=32, detail_fingerprint=DETAIL_FINGERPRINT
):
    """Refine towards a size; a step through true output takes the given time at the least."""
    generator = tiny_generator()
    images = SmallImages(generator, size_px, dtype=torch.float32)

    def render(ws):
        if ws.max() >= POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(step_s)
        return images(ws)

    details = None
    if detail:
        execution = Execution("cpu", "eager")
        encoder = tiny_encoder(generator, size_px)
        encoding = DetailEncoding(generator, encoder, detail_fingerprint, execution)
        true = DetailImages(images, encoding.encoder, torch.float32)

        def slow(features, details, ws):
            time.sleep(step_s)
            return true(features, details, ws)

        # As a head it has an error that depends on the detail a little.
        upper = DetailRender(true.features, true, lambda *given: 0.9 * slow(*given) + 0.1)
        details = encoding, upper
    return Refiner(render, Edges(), FINGERPRINT, config=CONFIG, head=head, detail=details)
