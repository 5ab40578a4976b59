"""Compare image-head steps with full-generator steps of the iterator.

    python benchmarks/fast_path.py [--photos DIR ...]

Starts from the embedding network's code, one face at a time, with variants interleaved; reports
means over faces. Both stages share Adam's moments and the reference learning rate. Errors are those
of the full generator's output at 256 px.
"""

import argparse
import time
from pathlib import Path

import torch
from faces import add_options, choose_faces
from networks import WEIGHTS, load_loss, load_networks, small_images
from tables import show
from torch import Tensor
from torch.nn import functional as F

from model_core.evaluation.methods import YARDSTICK
from model_core.images import FACE_PX
from model_core.inversion.iterator import IteratorState, LatentIterator
from model_core.networks.loading import load_stlpips
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.backends import compile_lazily
from model_core.runtime.precision import choose_precision
from model_core.weights.cache import cache_folder

LEGS = ((0, 40), (20, 20), (20, 25), (20, 30), (40, 20), (40, 0), (0, 20))


class Rivals:
    """Run the iterator with the image head and with the full generator, and score both."""

    def __init__(self, cache: Path, head: Path):
        self.generator, self._network, image_head = load_networks(cache, head)
        self._head_px = image_head.config.img_px
        self.render = compile_lazily(small_images(self.generator, FACE_PX))
        small = compile_lazily(small_images(self.generator, self._head_px, image_head))
        lpips = load_loss(cache)
        self._head = LatentIterator(small, lpips, YARDSTICK)
        self._true = LatentIterator(self.render, lpips, YARDSTICK)
        self._vgg = load_stlpips(cache, "vgg")

    @torch.no_grad()
    def embed(self, face: Tensor) -> Tensor:
        """Return the code all variants start from."""
        with choose_precision().autocast("cpu"):
            ws: Tensor = self._network(face)
        return ws.float()

    def search(self, face: Tensor, ws: Tensor, head_steps: int, true_steps: int) -> Tensor:
        """Do steps of both kinds; return the best code of the last stage."""
        state = IteratorState.start(ws)
        if head_steps:
            self._head.run(state, F.adaptive_avg_pool2d(face, self._head_px), head_steps)
        if head_steps and true_steps:
            state.best_loss.fill_(torch.inf)  # the loss was for another image size
        if true_steps:
            self._true.run(state, face, true_steps)
        return state.best_ws

    @torch.no_grad()
    def score(self, face: Tensor, ws: Tensor) -> tuple[float, float]:
        """Return MSE and ST-LPIPS (VGG), which no variant minimises."""
        img = self.render(ws).clamp(-1, 1)
        vgg = self._vgg.distance(self._vgg.features(img), self._vgg.features(face))
        return (img - face).square().mean().item(), vgg.item()


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser, count=4)
    parser.add_argument("--head", type=Path, default=WEIGHTS / "image_head_256.safetensors")
    parser.add_argument("--divide", type=int, default=1, help="divide all step counts by this")
    options = parser.parse_args()
    keep_freed_memory()
    cache = cache_folder(None)
    rivals = Rivals(cache, options.head)
    faces = choose_faces(options, rivals.generator, rivals.render, cache)
    warm = rivals.embed(faces[:1])
    rivals.search(faces[:1], warm, 1, 1)
    rivals.score(faces[:1], warm)
    rows: list[dict[str, object]] = []
    legs = [(head // options.divide, true // options.divide) for head, true in LEGS]
    found = [[timed(rivals, face, *leg) for leg in legs] for face in faces.split(1)]
    for leg, each in zip(legs, zip(*found, strict=True), strict=True):
        mse, vgg, seconds = torch.tensor(each).mean(dim=0).tolist()
        names = {"head steps": leg[0], "full generator steps": leg[1]}
        rows.append(names | {"MSE": mse, "st-lpips-vgg": vgg, "seconds": seconds})
    show(f"fast path {'photos ' if options.photos else ''}{options.head.stem}", rows)


def timed(
    rivals: Rivals, face: Tensor, head_steps: int, true_steps: int
) -> tuple[float, float, float]:
    """Optimise a face's code; return the errors and the seconds it took."""
    ws = rivals.embed(face)
    started = time.perf_counter()
    ws = rivals.search(face, ws, head_steps, true_steps)
    took_s = time.perf_counter() - started
    return *rivals.score(face, ws), took_s


if __name__ == "__main__":
    main()
