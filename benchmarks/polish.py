"""Compare Adam settings for polishing a code: python benchmarks/polish.py [--photos DIR ...].

Runs a few steps with the image head, as `budget_ms` of /embed does, on all faces at once. Reports
equation 1 at the head's size after some steps, and the full generator's errors at 256 px after the
last; means over faces.
"""

import argparse

import torch
from faces import add_options, choose_faces
from networks import WEIGHTS, load_loss, load_networks, small_images
from tables import show
from torch.nn import functional as F

from model_core.images import FACE_PX
from model_core.inversion.iterator import IteratorConfig, IteratorState, LatentIterator
from model_core.inversion.polisher import POLISHING
from model_core.networks.loading import load_stlpips
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.backends import compile_lazily
from model_core.weights.cache import cache_folder

MARKS = (2, 5, 10, 20)
VARIANTS = {
    "polishing's": POLISHING,
    "lr .02, betas (.9, .999)": IteratorConfig(lr=0.02),
    "lr .03, betas (.9, .999)": IteratorConfig(lr=0.03),
    "lr .05, betas (.9, .999)": IteratorConfig(lr=0.05),
    "lr .03, betas (.5, .999)": IteratorConfig(lr=0.03, betas=(0.5, 0.999)),
    "lr .02, betas (.9, .99)": IteratorConfig(lr=0.02, betas=(0.9, 0.99)),
}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser, count=8)
    parser.add_argument("--ways", type=int, default=len(VARIANTS), help="only the first ones")
    options = parser.parse_args()
    keep_freed_memory()
    cache = cache_folder(None)
    generator, network, head = load_networks(cache, WEIGHTS / "image_head_128.safetensors")
    small, true = (
        small_images(generator, head.config.img_px, head),
        small_images(generator, FACE_PX),
    )
    faces = choose_faces(options, generator, true, cache)
    target = F.adaptive_avg_pool2d(faces, small.size_px)
    lpips, vgg = load_loss(cache), load_stlpips(cache, "vgg")
    render = compile_lazily(small)
    with torch.no_grad():
        start = network(faces).float()
    rows: list[dict[str, object]] = []
    for name, config in list(VARIANTS.items())[: options.ways]:
        iterator, state, row = LatentIterator(render, lpips, config), IteratorState.start(start), {}
        done = 0
        for mark in MARKS:
            iterator.run(state, target, mark - done)
            done, row[f"after {mark}"] = mark, state.best_loss.mean().item()
        with torch.no_grad():
            img = torch.cat([true(ws) for ws in state.best_ws.split(1)]).clamp(-1, 1)
            distance = vgg.distance(vgg.features(img), vgg.features(faces)).mean().item()
        mse = (img - faces).square().mean().item()
        rows.append({"variant": name, **row, "MSE": mse, "st-lpips-vgg": distance})
    show("polish photos" if options.photos else "polish", rows)


if __name__ == "__main__":
    main()
