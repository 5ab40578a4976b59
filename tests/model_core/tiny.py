"""A real generator and a real perceptual distance, small enough for a step of milliseconds.

Codes have the default generator's shape, (18, 512), and images 256 px.
"""

import os
import signal
import time

import torch

from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.inversion.iterator import IteratorConfig
from model_core.inversion.refiner import Refiner
from model_core.inversion.rendering import SmallImages
from model_core.inversion.two_stage import HeadRender
from model_core.perceptual.stlpips import Perceptual

FINGERPRINT = "f" * 64
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


def tiny_refiner(step_s=0.0, head=None):
    """Refine towards 32 px; a step through true output takes the given time at the least."""
    images = SmallImages(tiny_generator(), 32, dtype=torch.float32)

    def render(ws):
        if ws.max() >= POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(step_s)
        return images(ws)

    return Refiner(render, Edges(), FINGERPRINT, config=CONFIG, head=head)
