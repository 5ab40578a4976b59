"""Fit directions to generated faces: python -m model_core.latents.directions fit --out DIR.

Faces of seeds 0, 1, 2 ... are drawn from the default generator and measured, and a direction is
fitted to each attribute, conditioned on those that it must not change. Faces of other seeds are
then moved along them: how far the same person is found, and what else changes, goes into the
sidecars. `--measures` keeps what was measured, so that nothing is measured twice.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from model_core.contact_sheet import draw_sheet
from model_core.errors import WplusError
from model_core.generators.contract import Generator
from model_core.generators.sampling import sample_w, spread_along
from model_core.images import FACE_PX, to_pixels, to_uint8
from model_core.inversion.rendering import SmallImages
from model_core.latents.directions.effect import measure_effect
from model_core.latents.directions.estimators import ESTIMATORS
from model_core.latents.directions.library import FAMILY, in_units
from model_core.latents.directions.measuring import Measured, Measurer
from model_core.latents.directions.samples import measure_samples
from model_core.latents.directions.sidecars import describe
from model_core.latents.directions.wanted import WANTED, fit_all
from model_core.latents.editing import move
from model_core.networks.loading import load_generator, load_image_head
from model_core.runtime.execution import Execution
from model_core.runtime.openvino import run_by_openvino
from model_core.runtime.precision import DtypeName
from model_core.shapes import Codes, Ws
from model_core.weights.cache import cache_folder
from model_core.weights.packs import pull
from model_core.weights.progress import ConsoleProgress
from model_core.weights.shipped import image_head
from model_core.weights.store import save_network

PSI = 0.8  # more variety than InterFaceGAN's .7, few corrupted faces yet
JUDGED_PSI = 0.7
JUDGED_FROM = 1_000_000  # first seed of the faces on which directions are measured
SHEET_FACES, SHEET_PX = 4, 128
NAMES = tuple(each.name for each in WANTED)

Pixels = UInt8[np.ndarray, "height width 3"]


def main(arguments: Sequence[str], cache: Path, dtype: str = "auto") -> int:
    """Fit from the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m model_core.latents.directions", description=__doc__
    )
    fit = parser.add_subparsers(required=True).add_parser("fit", help="fit directions")
    fit.add_argument("--out", type=Path, required=True, help="folder for the directions")
    fit.add_argument(
        "--only", nargs="+", choices=NAMES, default=NAMES, help="which to fit (default: all)"
    )
    fit.add_argument("--count", type=int, default=2000, help="faces to fit to")
    fit.add_argument("--judged", type=int, default=20, help="faces to measure the effect on")
    fit.add_argument("--measures", type=Path, help=".npy that keeps what is measured")
    fit.add_argument("--sheets", type=Path, help="folder for contact sheets")
    fit.add_argument("--dtype", choices=get_args(DtypeName), default=dtype)
    try:
        _fit(parser.parse_args(arguments), cache)
    except WplusError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


def _fit(options: argparse.Namespace, cache: Path) -> None:
    """Measure, fit, evaluate and write."""
    pull(cache, ESTIMATORS, ConsoleProgress())
    generator, fingerprint = load_generator(cache)
    render = _renderer(generator, fingerprint, options.dtype, cache)
    measurer = Measurer(cache)

    def judge(code: Ws) -> Measured:
        return measurer(render(code))

    w = sample_w(generator, range(options.count), PSI)
    with tqdm(total=options.count, unit="face") as bar:
        table = measure_samples(
            lambda seed: judge(_in_every_row(w[seed], generator.num_ws)).values,
            options.count,
            options.measures,
            bar.update,
        )
    fits = fit_all(w, table, generator.num_ws, tuple(options.only))
    steps = in_units(torch.stack([f.direction for f in fits]), partial(spread_along, generator))
    seeds = range(JUDGED_FROM, JUDGED_FROM + options.judged)
    judged = sample_w(generator, seeds, JUDGED_PSI)
    ws = torch.stack([_in_every_row(each, generator.num_ws) for each in judged])
    before = [judge(code) for code in tqdm(ws, unit="face", desc="before")]
    effects = [measure_effect(judge, ws, step, before) for step in tqdm(steps, unit="direction")]
    options.out.mkdir(parents=True, exist_ok=True)
    for fit, step, effect in zip(fits, steps, effects, strict=True):
        name = fit.wanted.name
        about = describe(fit, effect, dict(zip((f.wanted for f in fits), effects, strict=True)))
        about |= {"family": FAMILY, "generator": fingerprint, "judged_on": options.judged}
        print(f"{name}: accuracy {fit.accuracy:.3f}, safe {about['safe']} {about['unit']}")
        save_network(
            options.out / f"{name}.safetensors", {"direction": fit.direction.half()}, about
        )
        if options.sheets is not None:
            unit_step = step * about["deviations_per_unit"]
            path = options.sheets / f"{name}.jpg"
            draw_effect(render, ws[:SHEET_FACES], unit_step, about["safe"], path)


def draw_effect(
    render: Callable[[Ws], Pixels], ws: Codes, step: Ws, safe: Sequence[float], path: Path
) -> None:
    """Draw each face as a row, from one end of a safe range over no change to the other.

    Args:
        render: Renders a code.
        ws: Codes of the faces.
        step: What one unit adds.
        safe: Lowest and highest value, in units.
        path: The picture, JPEG or PNG.
    """
    low, high = safe
    values = (low, low / 2, 0.0, high / 2, high)
    columns = [[render(code) for code in move(ws, step, value)] for value in values]
    titles = [f"{value:+.3g}" if value else "0" for value in values]
    draw_sheet([*zip(*columns, strict=True)], path, titles, cell_px=SHEET_PX)


def _renderer(
    generator: Generator, fingerprint: str, dtype: str, cache: Path
) -> Callable[[Ws], Pixels]:
    """Make what renders a code at 256 px, by the shipped image head: half the work of 1024 px."""
    execution = Execution.choose(
        "cpu", "openvino", dtype, cache / "verdicts", {"generator": fingerprint}
    )
    head = load_image_head(image_head(FACE_PX), fingerprint)
    images = SmallImages(generator, FACE_PX, head)
    example = torch.zeros(1, generator.num_ws, generator.w_dim)
    run = run_by_openvino(images, execution.precision, example)
    return lambda ws: to_pixels(to_uint8(run(ws[None].float().contiguous())[0]))


def _in_every_row(w: Float[Tensor, " w_dim"], num_ws: int) -> Ws:
    return w.expand(num_ws, -1)


if __name__ == "__main__":
    folder = cache_folder(os.environ.get("WPLUS_CACHE"))
    sys.exit(main(sys.argv[1:], folder, os.environ.get("WPLUS_DTYPE") or "auto"))
