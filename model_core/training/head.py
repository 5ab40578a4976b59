"""Fit an image head: python -m model_core.training.head --pairs RUN --blocks 5 --out FILE.

The pairs come from a pretraining run: codes and their images at 256 px.
"""

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from model_core.errors import InvalidInputError, WplusError
from model_core.generators.image_head import ImageHead
from model_core.generators.mobilestylegan import MobileStyleGAN
from model_core.generators.sampling import seeded
from model_core.images import to_float
from model_core.metrics.pixels import psnr
from model_core.networks.loading import load_generator, load_image_head
from model_core.runtime.backends import compile_lazily, frozen_weights
from model_core.runtime.precision import FLOAT32, DtypeName, Precision, choose_precision
from model_core.training.data.pairs import PairRing
from model_core.weights.cache import cache_folder
from model_core.weights.store import save_network

VALIDATION_PAIRS = 64
REPORT_EVERY = 100


def main(arguments: Sequence[str], cache: Path, dtype: str = "auto") -> int:
    """Fit a head from the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m model_core.training.head", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--pairs", type=Path, required=True, help="folder of a pretraining run")
    parser.add_argument("--out", type=Path, required=True, help=".safetensors file to write")
    parser.add_argument(
        "--blocks", type=int, default=5, help="number of generator blocks below the head"
    )
    parser.add_argument("--start", type=Path, help="head to continue training")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=get_args(DtypeName), default=dtype)
    options = parser.parse_args(arguments)
    try:
        _fit_and_save(options, cache)
    except WplusError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


def _fit_and_save(options: argparse.Namespace, cache: Path) -> None:
    if options.out.suffix != ".safetensors":  # fail now, not after hours of training
        raise InvalidInputError(f"--out must end in .safetensors, got {options.out.name}")
    generator, fingerprint = load_generator(cache)
    if not isinstance(generator, MobileStyleGAN):
        raise TypeError(f"generator must be a MobileStyleGAN, got {type(generator).__name__}")
    if not 1 <= options.blocks < len(generator.blocks):
        raise InvalidInputError(
            f"--blocks must be between 1 and {len(generator.blocks) - 1}, got {options.blocks}"
        )
    head = ImageHead.above(generator, options.blocks)
    if options.start:
        start = load_image_head(options.start, fingerprint)
        if start.config != head.config:
            raise InvalidInputError(
                f"--start must be a head above {options.blocks} blocks, "
                f"got one above {start.config.blocks}"
            )
        head.load_state_dict(start.state_dict())
    head.to(options.device)
    generator.to(options.device)
    precision = choose_precision(options.device, options.dtype)
    print(f"networks compute in {precision.name}: {precision.reason}")
    steps, batch, lr = options.steps, options.batch, options.lr
    figure = fit(head, generator, options.pairs, steps, batch, lr, precision)
    about = {
        "name": options.out.stem,
        "family": "image-head",
        "config": dataclasses.asdict(head.config),
        "generator": fingerprint,
        "psnr_db": round(figure, 2),
        "steps": options.steps,
    }
    save_network(options.out, {k: v.half() for k, v in head.state_dict().items()}, about)


def fit(
    head: ImageHead,
    generator: MobileStyleGAN,
    pairs: Path,
    steps: int,
    batch: int,
    lr: float,
    precision: Precision = FLOAT32,
) -> float:
    """Fit a head to rendered pairs by Adam on MSE, in place.

    Args:
        head: Head to fit, on its device.
        generator: Generator whose features the head reads, on the same device; frozen and
            converted to the precision.
        pairs: Folder of a pretraining run; its first 64 pairs are held out.
        steps: Optimiser steps.
        batch: Pairs per step.
        lr: Peak learning rate.
        precision: Precision of both networks.

    Returns:
        Mean PSNR over the held-out pairs, in dB.

    Raises:
        InvalidInputError: If the folder has no pairs beyond the held-out ones.
    """
    ring = PairRing.open(pairs)
    if ring.count <= VALIDATION_PAIRS:
        raise InvalidInputError(
            f"pairs must exceed the {VALIDATION_PAIRS} held out, got {ring.count}"
        )
    held_img, held_ws = ring.read(range(VALIDATION_PAIRS))
    device = head.to_img.weight.device
    render = _render(head, generator, precision)
    optimizer = torch.optim.Adam(head.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, pct_start=0.1)
    started, figure, size = time.monotonic(), 0.0, head.config.img_px
    held = F.adaptive_avg_pool2d(to_float(held_img), size)
    for step in (bar := tqdm(range(steps), unit="step")):
        random = seeded(0, "head", step)
        img, ws = ring.draw(VALIDATION_PAIRS, min(ring.count, ring.slots), batch, random)
        wanted = F.adaptive_avg_pool2d(to_float(img.to(device)), size)
        loss = F.mse_loss(render(ws.to(device)), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix(psnr=f"{(4 / loss).log10().item() * 10:.2f}")
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == steps:
            chunks = held_ws.to(device).split(batch)
            rendered = torch.cat([render(chunk).detach().cpu() for chunk in chunks])
            figure = psnr(rendered, held).mean().item()
            minutes = (time.monotonic() - started) / 60
            tqdm.write(f"step {step + 1}: {figure:.2f} dB on held-out pairs, {minutes:.1f} min")
    return figure


def _render(
    head: ImageHead, generator: MobileStyleGAN, precision: Precision
) -> Callable[[Tensor], Tensor]:
    """Compile generator (frozen) and head (float32 weights, autocast).

    Call the result with gradients enabled: otherwise it keeps the head's weights of the first call.
    """
    dtype = precision.dtype
    network = generator.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    head.to(memory_format=torch.channels_last)
    blocks = head.config.blocks
    lower = compile_lazily(lambda ws: network.features(ws.to(dtype), blocks))
    upper = compile_lazily(head)

    def render(ws: Tensor) -> Tensor:
        with torch.no_grad(), frozen_weights():
            features = lower(ws)
        with precision.autocast(ws.device.type):
            img: Tensor = upper(features, ws)
        return img.float()

    return render


if __name__ == "__main__":
    folder = cache_folder(os.environ.get("WPLUS_CACHE"))
    sys.exit(main(sys.argv[1:], folder, os.environ.get("WPLUS_DTYPE") or "auto"))
