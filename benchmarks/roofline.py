"""How fast one synthesis could be on this processor: python benchmarks/roofline.py [--rounds N].

Arithmetic and traffic of each layer in bfloat16, against the rate of a large matrix product and
that of a copy, both measured here. A layer reads its input and weights once and writes its output
once, with all that is done element by element inside it; layers run one after another.
"""

import argparse
import statistics
from dataclasses import dataclass

import torch
from interleave import interleave
from tables import show
from torch import Tensor, nn

from model_core.checkpoints.layout import cache_folder
from model_core.generators.contract import Generator
from model_core.heap import keep_freed_memory
from model_core.loading import load_generator
from model_core.synthesizer import Synthesizer

PRODUCT_SIDE = 2048
COPY_BYTES = 512 * 2**20
ELEMENT_BYTES = 2


@dataclass(frozen=True, slots=True)
class Work:
    """What a layer does: its side in pixels, multiplications with addition, bytes moved."""

    size_px: int
    macs: int
    moved_bytes: int


def main() -> None:
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    generator, _ = load_generator(cache_folder(None))
    ws = generator.w_mean.repeat(1, generator.num_ws, 1)
    a = torch.randn(PRODUCT_SIDE, PRODUCT_SIDE, dtype=torch.bfloat16)
    source = torch.zeros(COPY_BYTES // 2, dtype=torch.uint8)
    target = torch.empty_like(source)
    synthesizer = Synthesizer(generator, backend="compile")
    with torch.inference_mode():
        ways = {
            "product": lambda: a @ a,
            "copy": lambda: target.copy_(source),
            "synthesis": lambda: synthesizer(ws),
        }
        seconds = interleave(ways, rounds)
    median_s = {name: statistics.median(values) for name, values in seconds.items()}
    macs_rate = PRODUCT_SIDE**3 / median_s["product"]
    bytes_rate = COPY_BYTES / median_s["copy"]
    rows: list[dict[str, object]] = []
    layers = work(generator, ws)
    for size_px in sorted({layer.size_px for layer in layers}):
        rows.append(
            row(f"{size_px} px", [x for x in layers if x.size_px == size_px], macs_rate, bytes_rate)
        )
    rows.append(row("all", layers, macs_rate, bytes_rate))
    show("roofline", rows)
    print(
        f"\nproduct {macs_rate / 1e9:.0f} GMAC/s, copy {bytes_rate / 1e9:.1f} GB/s, "
        f"synthesis {median_s['synthesis'] * 1e3:.0f} ms"
    )


def work(generator: Generator, ws: Tensor) -> list[Work]:
    """Count the work of every convolution in one synthesis."""
    found: list[Work] = []

    def note(layer: nn.Conv2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        moved = inputs[0].numel() + output.numel() + layer.weight.numel()
        macs = output.numel() * layer.weight[0].numel()
        found.append(Work(output.shape[-1], macs, moved * ELEMENT_BYTES))

    layers = [layer for layer in generator.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.inference_mode():
        generator.synthesis(ws)
    for hook in hooks:
        hook.remove()
    return found


def row(name: str, layers: list[Work], macs_rate: float, bytes_rate: float) -> dict[str, object]:
    """Sum layers up, each bound by the slower of arithmetic and traffic."""
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
