"""Edit films made of public pictures: python benchmarks/films.py [--frames N].

Measures frames a second of each pass; flicker: how many times as much the edited face changes from
frame to frame, in its own frame of reference, as the source's; and how much the edit itself, the
difference of the two films, changes, in bytes. Once with smoothing over time and once without. Both
are measured where smoothing sees the face.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import skimage.data
import torch
from PIL import Image
from tables import show

from model_core.alignment.ffhq import FaceAligner, crop_quad
from model_core.compositing.pasting import FACE
from model_core.films.editing import FilmEditor, FilmProgress, edit_film
from model_core.films.limits import FilmLimits
from model_core.films.planning import Plan
from model_core.films.progress import Caller
from model_core.films.reading import open_film
from model_core.films.seeing import plan_film
from model_core.films.work import WorkFolder
from model_core.predictor import Predictor
from model_core.shapes import Pixels
from model_core.weights.cache import LANDMARKS, SECOND_GLANCE, cache_folder, verified_path
from model_core.weights.shipped import DETAIL_ENCODER, EMBEDDING_NETWORK

RATE = 25
SIZE = (640, 480)
NOBODY = Caller(progress=lambda _: None, should_stop=lambda: False)
EDITS = {"smile": 1.5, "age": 10.0, "pose": 1.0}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--edits", nargs="+", choices=EDITS, default=list(EDITS))
    parser.add_argument("--keep", type=Path, help="folder to keep the films in")
    options = parser.parse_args()
    cache = cache_folder(os.environ.get("WPLUS_CACHE"))
    predictor = Predictor.load(
        cache, EMBEDDING_NETWORK, backend=options.backend, detail=DETAIL_ENCODER
    )
    aligner = FaceAligner(verified_path(cache, LANDMARKS), verified_path(cache, SECOND_GLANCE))
    films = {"walk": walk(predictor, options.frames), "astronaut": pan(options.frames)}
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="wplus-films-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        for name, frames in films.items():
            source = folder / f"{name}.mp4"
            write_film(source, frames)
            for direction in options.edits:
                plan = None
                for smoothed in (True, False):
                    editor = FilmEditor(
                        predictor, aligner, {direction: EDITS[direction]}, smoothed=smoothed
                    )
                    case = f"{name}-{direction}-{'smoothed' if smoothed else 'plain'}"
                    target, work = folder / f"{case}.mp4", Path(scratch) / case
                    row = measure(source, target, editor, work)
                    plan = plan or plan_film(editor, FinishedWork(work), 1 / RATE, NOBODY)
                    about = {"film": name, "edit": direction, "smoothed": smoothed}
                    rows.append(about | row | compare(source, target, plan))
                    print(rows[-1], flush=True)
    show("films", rows)


def measure(source: Path, target: Path, editor: FilmEditor, work: Path) -> dict[str, object]:
    """Edit a film; return its figures."""
    began: dict[str, float] = {}
    ended: dict[str, tuple[float, int]] = {}

    def progress(now: FilmProgress) -> None:
        began.setdefault(now.phase, time.perf_counter())
        ended[now.phase] = time.perf_counter(), now.done

    edit_film(source, target, editor, work=work, progress=progress, should_stop=lambda: False)
    rates = {
        f"{phase} frames a second": (ended[phase][1] - 1) / (ended[phase][0] - began[phase])
        for phase in ("read", "edit")
    }
    blend = json.loads((work / "blend.json").read_text())
    return {"blend": blend} | rates


class FinishedWork(WorkFolder):
    """The folder of a run that is over, to read."""

    def __init__(self, folder: Path):
        self.path = folder


def compare(source: Path, target: Path, plan: Plan) -> dict[str, object]:
    """Measure the edited film as it is decoded, against its source."""
    inside = FACE > 0.5
    last: dict[str, np.ndarray] = {}
    changes: dict[str, list[float]] = {"source": [], "result": [], "edit": []}
    with open_film(source, FilmLimits()) as film, open_film(target, FilmLimits()) as edited:
        for own, new in zip(film.frames(), edited.frames(), strict=True):
            if plan.strength[own.index] < 1:
                last = {}
                continue
            quad = plan.quads[own.index]
            now = {
                "source": crop_quad(own.pixels(), quad).astype(np.int16),
                "result": crop_quad(new.pixels(), quad).astype(np.int16),
            }
            now["edit"] = now["result"] - now["source"]
            for name, image in now.items():
                if last:
                    changes[name].append(float(np.abs(image - last[name])[inside].mean()))
            last = now
    means = {name: float(np.mean(values)) for name, values in changes.items()}
    return {
        "flicker": means["result"] / means["source"],
        "source's change": means["source"],
        "edit's change": means["edit"],
    }


def walk(predictor: Predictor, count: int) -> Iterator[Pixels]:
    """Yield a generated face that slowly turns into another, seen by a moving camera."""
    first, second = (predictor.sample(seed, 0.7)[0] for seed in (5, 11))
    for i in range(count):
        share = 0.2 * (1 - math.cos(i / 40))
        face = predictor.synthesize(torch.lerp(first, second, share)[None])[0]
        yield view(Image.fromarray(face), 0.62, 60 * math.sin(i / 15), 40 * math.cos(i / 19))


def pan(count: int) -> Iterator[Pixels]:
    """Yield scikit-image's astronaut, seen by a moving camera."""
    image = Image.fromarray(skimage.data.astronaut()).resize((1024, 1024), Image.Resampling.LANCZOS)
    for i in range(count):
        yield view(image, 0.9, -60 + 80 * math.sin(i / 14), -260 + 30 * math.cos(i / 11))


def view(image: Image.Image, scale: float, x: float, y: float) -> Pixels:
    """Return what a camera of SIZE sees of an image, shifted from its middle."""
    left = image.width / 2 + x - SIZE[0] / scale / 2
    top = image.height / 2 + y - SIZE[1] / scale / 2
    matrix = (1 / scale, 0.0, left, 0.0, 1 / scale, top)
    return np.asarray(
        image.transform(SIZE, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    )


def write_film(target: Path, frames: Iterator[Pixels]) -> None:
    """Encode frames as a camera would: H.264, 25 a second."""
    with av.open(target, "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"crf": "18"})
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts, frame.time_base = i, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


if __name__ == "__main__":
    main()
