"""Measure a network on faces: python -m model_core.evaluation --network FILE --out DIR.

With --photos DIR the faces are held-out photographs, taken as in training, else generated from
seeds. All figures are at 256 px, mean over faces: MSE on [-1, 1], PSNR in dB, SSIM, two perceptual
distances and the distance of dlib's descriptors, which are the identity encoder's own and therefore
flatter the network.
"""

import argparse
import copy
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from model_core.checkpoints.layout import cache_folder
from model_core.errors import InvalidInputError, WplusError
from model_core.evaluation.systems import (
    Codes,
    Faces,
    compiled_render,
    iterator_codes,
    mean_codes,
    network_codes,
)
from model_core.generators.contract import Generator
from model_core.iterator import Iterator
from model_core.loading import (
    load_embedding_network,
    load_generator,
    load_identity,
    load_stlpips,
)
from model_core.metrics import identity_distance, mse, psnr, ssim
from model_core.synthesizer import Backend, Synthesizer
from model_core.training.config import TrainConfig
from model_core.training.pairs import sample_codes, seeded
from model_core.training.photos import PHOTO_PX, Photos
from model_core.training.validation import draw_sheet, to_float

MARKS = [5, 10, 20, 40]
METHODS = ("mean", "network", "iterator")
SHEET_PHOTOS = 8


def main(arguments: Sequence[str], cache: Path) -> int:
    """Run the comparison from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model_core.evaluation")
    parser.add_argument("--photos", type=Path, nargs="+", help="aligned photographs")
    parser.add_argument("--persons", type=Path, help="TSV with file and person: keeps them apart")
    parser.add_argument("--network", type=Path, help="embedding network, .safetensors")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["mean", "network"])
    parser.add_argument("--count", type=int, default=200, help="photos for mean and network")
    parser.add_argument("--iterator-count", type=int, default=20, help="photos for the iterator")
    parser.add_argument("--backend", choices=get_args(Backend), default="auto")
    parser.add_argument("--out", type=Path, required=True, help="folder for figures and sheets")
    options = parser.parse_args(arguments)
    if "network" in options.methods and not options.network:
        parser.error("--network must name a file for the method network, got none")
    try:
        figures = _compare(options, cache)
    except WplusError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    (options.out / "results.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(_table(figures))
    return 0


def _compare(options: argparse.Namespace, cache: Path) -> dict[str, dict[str, float]]:
    """Embed, render and measure by every method asked for."""
    generator, fingerprint = load_generator(cache)
    synthesize = Synthesizer(generator, backend=options.backend)
    faces = _photographs(options) if options.photos else _generated(options, generator, synthesize)
    few = faces[: options.iterator_count]
    codes: dict[str, tuple[Codes, Faces]] = {}
    if "mean" in options.methods:
        codes["mean code"] = mean_codes(generator, faces), faces
        codes[f"mean code, first {len(few)}"] = mean_codes(generator, few), few
    if "network" in options.methods:
        network = load_embedding_network(options.network, cache, generator, fingerprint)
        ws = network_codes(network, faces)
        codes["network"] = ws, faces
        codes[f"network, first {len(few)}"] = ws[: len(few)], few
    if "iterator" in options.methods:
        render = compiled_render(copy.deepcopy(generator), few.shape[-1])
        iterator = Iterator(render, load_stlpips(cache, "alex"))
        starts = mean_codes(generator, few)
        with tqdm(total=len(few) * (max(MARKS) + len(MARKS)), unit="evaluation") as bar:
            kept = iterator_codes(iterator, few, starts, MARKS, bar.update)
        for mark, iterated in kept.items():
            codes[f"iterator from the mean code, {mark} steps, first {len(few)}"] = iterated, few
    options.out.mkdir(parents=True, exist_ok=True)
    judge = _Judge(cache, synthesize)
    return {name: judge(name, ws, x, options.out) for name, (ws, x) in codes.items()}


def _photographs(options: argparse.Namespace) -> Faces:
    """Read the first held-out photos."""
    photos = Photos.split(options.photos, options.persons)[1]
    if not len(photos):
        raise InvalidInputError("photos must hold out at least one person, got none")
    return to_float(photos.read(range(min(options.count, len(photos)))))


@torch.no_grad()
def _generated(options: argparse.Namespace, generator: Generator, synthesize: Synthesizer) -> Faces:
    """Render faces of held-out seeds, sampled as in training."""
    ws = sample_codes(generator, TrainConfig(), options.count, seeded(0, "evaluation", 0))
    images = [to_float(synthesize(code)).permute(0, 3, 1, 2) for code in ws.split(1)]
    return torch.cat([F.adaptive_avg_pool2d(img, PHOTO_PX) for img in images])


class _Judge:
    """Renders codes and measures the images against the faces."""

    def __init__(self, cache: Path, synthesize: Synthesizer):
        self._synthesize = synthesize
        self._identity = load_identity(cache)
        self._distances = [load_stlpips(cache, "alex"), load_stlpips(cache, "vgg")]

    @torch.inference_mode()
    def __call__(self, name: str, ws: Codes, faces: Faces, out: Path) -> dict[str, float]:
        """Return the mean of each figure, and draw the first faces above their images."""
        rows, images = [], []
        for code, face in zip(ws.split(1), faces.split(1), strict=True):
            img = to_float(self._synthesize(code)).permute(0, 3, 1, 2)
            img = F.adaptive_avg_pool2d(img, face.shape[-1])
            rows.append(self._measure(face, img))
            images.append(img)
        bytes_ = [((x.clamp(-1, 1) + 1) * 127.5).round().byte() for x in (faces, torch.cat(images))]
        starts = range(0, min(len(faces), 2 * SHEET_PHOTOS), SHEET_PHOTOS)
        sheet = [x[i : i + SHEET_PHOTOS] for i in starts for x in bytes_]
        draw_sheet(sheet, out / f"{name.replace(' ', '_').replace(',', '')}.jpg")
        mean = torch.stack(rows).mean(dim=0).tolist()
        names = ["mse", "psnr_db", "ssim", *(d.name for d in self._distances), "dlib_distance"]
        return dict(zip(names, mean, strict=True)) | {"photos": len(faces)}

    def _measure(
        self, face: Float[Tensor, "1 3 height width"], img: Float[Tensor, "1 3 height width"]
    ) -> Float[Tensor, " figures"]:
        far = identity_distance(self._identity.descriptor(face), self._identity.descriptor(img))
        distances = [distance(face, img) for distance in self._distances]
        figures = [mse(face, img), psnr(face, img), ssim(face, img), *distances, far]
        return torch.cat(figures)


def _table(figures: dict[str, dict[str, float]]) -> str:
    """Return the figures as a Markdown table."""
    names = list(next(iter(figures.values())))
    lines = ["| system | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for system, row in figures.items():
        cells = [f"{row[name]:.4g}" for name in names]
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
