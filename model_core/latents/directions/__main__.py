"""Fit directions to generated faces: python -m model_core.latents.directions fit --out DIR.

Faces of seeds 0, 1, 2 ... are drawn from the default generator, yaw and smile are measured from
their landmarks, and a direction is fitted to each: `pose`, and `smile` conditioned on it. Both
leave the rows that carry colour unchanged. Faces of other seeds are then moved along them, and
the measured changes are printed and stored in the sidecars.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from tqdm import tqdm

from model_core.alignment.face_finder import FaceFinder
from model_core.contact_sheet import draw_sheet
from model_core.errors import WplusError
from model_core.generators.sampling import sample_w, spread_along
from model_core.latents.directions.attributes import smile, yaw
from model_core.latents.directions.effect import measure_effect
from model_core.latents.directions.fitting import condition, fit_normal
from model_core.latents.directions.library import FAMILY, in_units
from model_core.latents.directions.samples import Landmarks, find_landmarks, measure_samples
from model_core.latents.editing import COLOUR_ROW, move
from model_core.networks.loading import load_generator
from model_core.runtime.backends import Backend
from model_core.runtime.execution import Execution
from model_core.runtime.precision import DtypeName
from model_core.runtime.synthesizer import Synthesizer
from model_core.shapes import Ws
from model_core.weights.cache import LANDMARKS, cache_folder, verified_path
from model_core.weights.store import save_network

PSI = 0.7  # InterFaceGAN's; closer to 1, too many faces are corrupted
JUDGED_FROM = 1_000_000  # first seed of the faces on which directions are measured
SHEET_STRENGTHS = (-3.0, -1.5, 0.0, 1.5, 3.0)
SHEET_FACES, SHEET_PX = 4, 256


@dataclass(frozen=True, slots=True)
class Fit:
    """A named direction, not scaled, and its accuracy on held-out samples."""

    name: str
    direction: Ws
    accuracy: float


def main(arguments: Sequence[str], cache: Path, dtype: str = "auto") -> int:
    """Fit from the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m model_core.latents.directions", description=__doc__
    )
    fit = parser.add_subparsers(required=True).add_parser("fit", help="fit pose and smile")
    fit.add_argument("--out", type=Path, required=True, help="folder for both directions")
    fit.add_argument("--count", type=int, default=600, help="faces to fit to")
    fit.add_argument("--judged", type=int, default=12, help="faces to measure the effect on")
    fit.add_argument("--landmarks", type=Path, help=".npy that keeps what is measured")
    fit.add_argument("--sheets", type=Path, help="folder for contact sheets")
    fit.add_argument("--backend", choices=get_args(Backend), default="auto")
    fit.add_argument("--dtype", choices=get_args(DtypeName), default=dtype)
    try:
        _fit(parser.parse_args(arguments), cache)
    except WplusError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


def _fit(options: argparse.Namespace, cache: Path) -> None:
    """Measure, fit, evaluate and write."""
    generator, fingerprint = load_generator(cache)
    execution = Execution.choose(
        "cpu", options.backend, options.dtype, cache / "verdicts", {"generator": fingerprint}
    )
    synthesize = Synthesizer(generator, execution)
    execution.queue.run()
    finder = FaceFinder(verified_path(cache, LANDMARKS))

    def render(ws: Ws) -> UInt8[np.ndarray, "height width 3"]:
        return synthesize(ws[None])[0].numpy()

    def measure(ws: Ws) -> Landmarks:
        return find_landmarks(render(ws), finder)

    def in_every_row(w: Float[Tensor, "batch w_dim"]) -> Float[Tensor, "batch num_ws w_dim"]:
        return w[:, None].expand(-1, generator.num_ws, -1)

    w = sample_w(generator, range(options.count), PSI)
    with tqdm(total=options.count, unit="face") as bar:
        landmarks = measure_samples(
            lambda seed: measure(in_every_row(w)[seed]),
            options.count,
            options.landmarks,
            bar.update,
        )
    fits = fit_both(w, landmarks, generator.num_ws)
    steps = in_units(torch.stack([f.direction for f in fits]), partial(spread_along, generator))
    seeds = range(JUDGED_FROM, JUDGED_FROM + options.judged)
    ws = in_every_row(sample_w(generator, seeds, PSI))
    options.out.mkdir(parents=True, exist_ok=True)
    for fit, step in zip(fits, steps, strict=True):
        effect = measure_effect(measure, ws, step)
        print(f"{fit.name}: accuracy {fit.accuracy:.3f}, change per unit {effect}")
        about = {
            "name": fit.name,
            "family": FAMILY,
            "generator": fingerprint,
            "held_out_accuracy": round(fit.accuracy, 3),
            "change_per_unit": {name: round(value, 4) for name, value in effect.items()},
            "samples": options.count,
            "judged_on": options.judged,
        }
        path = options.out / f"{fit.name}.safetensors"
        save_network(path, {"direction": fit.direction.half()}, about)
        if options.sheets is not None:
            _draw_sheet(render, ws[:SHEET_FACES], step, options.sheets / f"{fit.name}.png")


def fit_both(
    w: Float[Tensor, "samples w_dim"], landmarks: Float64[np.ndarray, "samples 68 2"], num_ws: int
) -> list[Fit]:
    """Fit pose and smile to samples, ignoring those whose face was not found."""
    seen = ~np.isnan(landmarks).any(axis=(1, 2))
    codes, points = w[torch.from_numpy(seen)].double(), landmarks[seen]
    pose, pose_accuracy = fit_normal(codes, torch.from_numpy(yaw(points)))
    smiling, smile_accuracy = fit_normal(codes, torch.from_numpy(smile(points)))
    rows = (torch.arange(num_ws) < COLOUR_ROW).float()[:, None]
    return [
        Fit("pose", rows * pose.float(), pose_accuracy),
        Fit("smile", rows * condition(smiling, pose).float(), smile_accuracy),
    ]


def _draw_sheet(
    render: Callable[[Ws], UInt8[np.ndarray, "height width 3"]],
    ws: Float[Tensor, "faces num_ws w_dim"],
    step: Ws,
    path: Path,
) -> None:
    """Draw each face as a row, moved further in each column."""
    strengths = tqdm(SHEET_STRENGTHS, unit="strength", desc=path.name)
    columns = [[render(code) for code in move(ws, step, strength)] for strength in strengths]
    draw_sheet(list(zip(*columns, strict=True)), path, cell_px=SHEET_PX)


if __name__ == "__main__":
    folder = cache_folder(os.environ.get("WPLUS_CACHE"))
    sys.exit(main(sys.argv[1:], folder, os.environ.get("WPLUS_DTYPE") or "auto"))
