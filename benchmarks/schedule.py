"""Compare the iterator's learning rate schedules: python benchmarks/schedule.py [--photos DIR ...].

Starts from the embedding network's code and runs as `POST /refine` does (first steps with the image
head at 256 px), one face at a time. Reports equation 1, MSE and st-lpips-vgg of the full
generator's output at 256 px for the best code; means over faces.
"""

import argparse

import torch
from faces import add_options, choose_faces
from networks import WEIGHTS, load_loss, load_networks, small_images
from tables import show
from torch import Tensor

from model_core.images import FACE_PX
from model_core.inversion.iterator import IteratorConfig, IteratorState, LatentIterator, Render
from model_core.inversion.two_stage import EARLY_STEPS
from model_core.networks.loading import load_stlpips
from model_core.perceptual.stlpips import Perceptual
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.backends import compile_lazily
from model_core.weights.cache import cache_folder

VARIANTS = {
    "lr .05": (0.05, 0.0),
    "lr .05, decay over last quarter": (0.05, 0.25),
    "lr .05, decay over last half": (0.05, 0.5),
    "lr .05, decay over last three quarters": (0.05, 0.75),
    "lr .1, decay over last half": (0.1, 0.5),
    "lr .03": (0.03, 0.0),
}
"""Adam's rate, and the fraction of the steps, at the end, over which it falls linearly to zero."""


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser, count=4)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--ways", type=int, default=len(VARIANTS), help="only the first ones")
    options = parser.parse_args()
    keep_freed_memory()
    cache = cache_folder(None)
    generator, network, image_head = load_networks(cache, WEIGHTS / "image_head_256.safetensors")
    render = compile_lazily(small_images(generator, FACE_PX))
    head = compile_lazily(small_images(generator, FACE_PX, image_head))
    lpips, vgg = load_loss(cache), load_stlpips(cache, "vgg")
    faces = choose_faces(options, generator, render, cache)
    with torch.no_grad():
        starts = network(faces).float()
    rows: list[dict[str, object]] = []
    for name, variant in list(VARIANTS.items())[: options.ways]:
        found = []
        for face, ws in zip(faces.split(1), starts.split(1), strict=True):
            state = search((head, render), lpips, face, ws, *variant, options.steps)
            with torch.no_grad():
                img = render(state.best_ws).clamp(-1, 1)
                far = vgg.distance(vgg.features(img), vgg.features(face))
            error = (img - face).square().mean()
            found.append([state.best_loss.item(), error.item(), far.item()])
        loss, mse, distance = torch.tensor(found).mean(dim=0).tolist()
        rows.append({"variant": name, "equation 1": loss, "MSE": mse, "st-lpips-vgg": distance})
    show("schedule photos" if options.photos else "schedule", rows)


def search(
    renders: tuple[Render, Render],
    lpips: Perceptual,
    face: Tensor,
    ws: Tensor,
    lr: float,
    falls: float,
    steps: int,
) -> IteratorState:
    """Run the iterator with the head and then with the full generator, one step at a time."""
    state = IteratorState.start(ws)
    early = min(EARLY_STEPS, steps // 2)
    for step in range(steps):
        if step == early:
            state.best_loss.fill_(torch.inf)  # the loss was for another renderer
        rate = lr * min(1.0, (steps - step) / max(1.0, steps * falls))
        iterator = LatentIterator(renders[step >= early], lpips, IteratorConfig(lr=rate))
        iterator.run(state, face, 1, score_last=step + 1 == steps)
    return state


if __name__ == "__main__":
    main()
