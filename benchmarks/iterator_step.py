"""Time one iterator step with each renderer: python benchmarks/iterator_step.py [--rounds N].

A step evaluates equation 1 and its gradient and does Adam's update. The figure is the mean over a
short run, including the target's features, which a run computes once. The compiled variants are
those of the service, with the perceptual distance in the same precision.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from interleave import interleave, report
from networks import load_loss, small_images

from model_core.inversion.iterator import IteratorState, LatentIterator, Render
from model_core.inversion.rendering import SmallImages
from model_core.networks.loading import load_generator, load_image_head, load_stlpips
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.backends import compile_lazily
from model_core.runtime.precision import choose_precision
from model_core.weights.cache import cache_folder

STEPS = 4
HEADS = Path(__file__).parent.parent / "weights"


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--memory",
        choices=("kept", "returned"),
        default="kept",
        help="the service keeps memory",
    )
    options = parser.parse_args()
    if options.memory == "kept":
        keep_freed_memory()
    cache = cache_folder(None)
    generator, fingerprint = load_generator(cache)
    dtype = choose_precision().name
    true = small_images(generator, 256)
    eager = SmallImages(generator, 256, folded=False)
    renders: dict[str, tuple[Render, int]] = {
        f"full generator, compiled {dtype}": (compile_lazily(true), 256),
    }
    for file in sorted(HEADS.glob("image_head_*.safetensors")):
        head = load_image_head(file, fingerprint)
        size_px = head.config.img_px
        images = small_images(generator, size_px, head)
        renders[f"image head, {size_px} px, compiled {dtype}"] = (compile_lazily(images), size_px)
    ws = generator.w_mean.repeat(1, generator.num_ws, 1)
    variants: dict[str, Callable[[], object]] = {
        "full generator, eager float32": search(LatentIterator(eager, load_stlpips(cache)), ws, 256)
    }
    lpips = load_loss(cache)
    for name, (render, size_px) in renders.items():
        variants[name] = search(LatentIterator(render, lpips), ws, size_px)
    title = "iterator step" if options.memory == "kept" else "iterator step memory returned"
    seconds = interleave(variants, options.rounds)
    report(title, {name: [run_s / STEPS for run_s in runs] for name, runs in seconds.items()})


def search(iterator: LatentIterator, ws: torch.Tensor, size_px: int) -> Callable[[], object]:
    """Return a function that does a few steps."""
    target = torch.zeros(1, 3, size_px, size_px)
    return lambda: iterator.run(IteratorState.start(ws), target, STEPS, score_last=False)


if __name__ == "__main__":
    main()
