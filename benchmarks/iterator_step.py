"""One step of the iterator by each render: python benchmarks/iterator_step.py [--rounds N].

A step is an evaluation of equation 1, its gradient and Adam's update, here the mean of a short
run's; the features of the target, which a run takes once, are in it. The compiled ways are those of
the service, the perceptual distance in the same precision.
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
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--memory",
        choices=("kept", "returned"),
        default="kept",
        help="kept is how the service runs",
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
        f"true output, compiled {dtype}": (compile_lazily(true), 256),
    }
    for file in sorted(HEADS.glob("image_head_*.safetensors")):
        head = load_image_head(file, fingerprint)
        size_px = head.config.img_px
        images = small_images(generator, size_px, head)
        renders[f"image head, {size_px} px, compiled {dtype}"] = (compile_lazily(images), size_px)
    ws = generator.w_mean.repeat(1, generator.num_ws, 1)
    ways: dict[str, Callable[[], object]] = {
        "true output, eager float32": search(LatentIterator(eager, load_stlpips(cache)), ws, 256)
    }
    lpips = load_loss(cache)
    for name, (render, size_px) in renders.items():
        ways[name] = search(LatentIterator(render, lpips), ws, size_px)
    title = "iterator step" if options.memory == "kept" else "iterator step memory returned"
    seconds = interleave(ways, options.rounds)
    report(title, {name: [run_s / STEPS for run_s in runs] for name, runs in seconds.items()})


def search(iterator: LatentIterator, ws: torch.Tensor, size_px: int) -> Callable[[], object]:
    """Return a call that does a few steps."""
    target = torch.zeros(1, 3, size_px, size_px)
    return lambda: iterator.run(IteratorState.start(ws), target, STEPS, score_last=False)


if __name__ == "__main__":
    main()
