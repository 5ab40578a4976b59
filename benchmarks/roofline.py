"""Estimate lower bounds for a synthesis and an iterator step: python benchmarks/roofline.py.

Compares each layer's arithmetic and memory traffic in bfloat16 with the measured rates of a large
matrix product and of a copy. The model: a layer reads its input and weights once and writes its
output once, with element-wise operations fused; layers run in sequence. An iterator step renders
and computes ST-LPIPS at the image's size, and costs the same again for the gradient.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from interleave import interleave
from networks import small_images
from tables import show
from torch import Tensor, nn

from model_core.generators.contract import Generator
from model_core.inversion.rendering import SmallImages
from model_core.networks.loading import load_generator, load_image_head, load_stlpips
from model_core.perceptual.stlpips import STLPIPS
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.execution import Execution
from model_core.runtime.precision import choose_precision
from model_core.runtime.synthesizer import Synthesizer
from model_core.weights.cache import cache_folder

PRODUCT_SIDE = 2048
COPY_BYTES = 512 * 2**20
ELEMENT_BYTES = 2
LOSS_PX = 256
HEADS = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True, slots=True)
class Work:
    """A layer's work: side in pixels, multiply-accumulates, bytes moved."""

    size_px: int
    macs: int
    moved_bytes: int


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    cache = cache_folder(None)
    generator, fingerprint = load_generator(cache)
    ws = generator.w_mean.repeat(1, generator.num_ws, 1)
    a = torch.randn(PRODUCT_SIDE, PRODUCT_SIDE, dtype=torch.bfloat16)
    source = torch.zeros(COPY_BYTES // 2, dtype=torch.uint8)
    target = torch.empty_like(source)
    synthesizer = Synthesizer(generator, Execution("cpu", "compile", choose_precision()))
    with torch.inference_mode():
        variants = {
            "product": lambda: a @ a,
            "copy": lambda: target.copy_(source),
            "synthesis": lambda: synthesizer(ws),
        }
        seconds = interleave(variants, rounds)
    median_s = {name: statistics.median(values) for name, values in seconds.items()}
    macs_rate = PRODUCT_SIDE**3 / median_s["product"]
    bytes_rate = COPY_BYTES / median_s["copy"]
    rows: list[dict[str, object]] = []
    layers = count(generator, lambda: generator.synthesis(ws))
    for size_px in sorted({layer.size_px for layer in layers}):
        rows.append(
            row(f"{size_px} px", [x for x in layers if x.size_px == size_px], macs_rate, bytes_rate)
        )
    rows.append(row("all", layers, macs_rate, bytes_rate))
    lpips = load_stlpips(cache)
    for name, images in make_renders(generator, fingerprint).items():
        layers = 2 * count_evaluation(images, lpips, ws)
        rows.append(row(f"iterator step, {name}", layers, macs_rate, bytes_rate))
    show("roofline", rows)
    print(
        f"\nproduct {macs_rate / 1e9:.0f} GMAC/s, copy {bytes_rate / 1e9:.1f} GB/s, "
        f"synthesis {median_s['synthesis'] * 1e3:.0f} ms"
    )


def make_renders(generator: Generator, fingerprint: str) -> dict[str, SmallImages]:
    """Build the iterator's renderers."""
    found = {"full generator": small_images(generator, LOSS_PX)}
    for file in sorted(HEADS.glob("image_head_*.safetensors")):
        head = load_image_head(file, fingerprint)
        px = head.config.img_px
        found[f"image head, {px} px"] = small_images(generator, px, head)
    return found


def count_evaluation(images: SmallImages, lpips: STLPIPS, ws: Tensor) -> list[Work]:
    """Count the work of evaluating equation 1 once."""
    img = torch.zeros(1, 3, images.size_px, images.size_px)
    rendering = count(images, lambda: images(ws))
    return rendering + count(lpips, lambda: lpips.features(img))


def count(network: nn.Module, run: Callable[[], object]) -> list[Work]:
    """Count the work of the convolution modules in one run of a network.

    The small images' last convolution, to three channels, is not a module and is left out: .01 GMAC
    at 256 px.
    """
    found: list[Work] = []

    def note(layer: nn.Conv2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        moved = inputs[0].numel() + output.numel() + layer.weight.numel()
        macs = output.numel() * layer.weight[0].numel()
        found.append(Work(output.shape[-1], macs, moved * ELEMENT_BYTES))

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.inference_mode():
        run()
    for hook in hooks:
        hook.remove()
    return found


def row(name: str, layers: list[Work], macs_rate: float, bytes_rate: float) -> dict[str, object]:
    """Sum up layers, each bound by the slower of arithmetic and traffic."""
    bound_s = sum(max(x.macs / macs_rate, x.moved_bytes / bytes_rate) for x in layers)
    return {
        "layers": name,
        "GMAC": sum(x.macs for x in layers) / 1e9,
        "MB moved": sum(x.moved_bytes for x in layers) / 1e6,
        "arithmetic, ms": sum(x.macs for x in layers) / macs_rate * 1e3,
        "traffic, ms": sum(x.moved_bytes for x in layers) / bytes_rate * 1e3,
        "bound, ms": bound_s * 1e3,
    }


if __name__ == "__main__":
    main()
