"""Compare one pass with the iterator at equal quality: python benchmarks/one_pass.py [--faces N].

One pass is embedding network and generator, as in the service. The optimisation is the iterator
from the mean code with the full generator, on the generator's backend; its time excludes the final
1024 px image. Both are measured at 256 px by st-lpips-vgg, which the iterator does not minimise.
The faces are scikit-image's astronaut and generated ones.
"""

import argparse
import statistics
from pathlib import Path

import torch
from tables import show
from torch import Tensor

from model_core.evaluation.baselines import CodeSearch
from model_core.evaluation.equivalent_steps import equivalent_steps
from model_core.evaluation.faces import public_faces
from model_core.evaluation.methods import YARDSTICK, Method, make_method
from model_core.evaluation.networks import EvaluationNetworks
from model_core.evaluation.recorder import Recorder
from model_core.evaluation.records import Record
from model_core.images import to_float, to_uint8
from model_core.inversion.iterator import Render
from model_core.networks.distances import NoDistance, load_distance
from model_core.networks.loading import load_generator
from model_core.perceptual.stlpips import Perceptual
from model_core.predictor import Predictor
from model_core.runtime.allocator import keep_freed_memory
from model_core.runtime.backends import can_compile
from model_core.runtime.execution import Execution
from model_core.weights.cache import LANDMARKS, cache_folder, verified_path

MEASURE = "st-lpips-vgg"
NETWORK = Path(__file__).parents[1] / "weights" / "embedding.safetensors"


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=6)
    parser.add_argument("--steps", type=int, default=60, help="maximum number of iterator steps")
    options = parser.parse_args()
    keep_freed_memory()
    cache = cache_folder(None)
    generator, fingerprint = load_generator(cache)
    backend = "compile" if can_compile("cpu") else "eager"
    precision = Execution.choose("cpu", backend).precision
    nets = EvaluationNetworks(
        generator, {}, {"generator": fingerprint}, cache, backend=backend, precision=precision
    )
    distance = load_distance(MEASURE, cache)
    once = one_pass(Predictor.load(cache, NETWORK), nets.render)
    search = make_method("iterator", nets, options.steps)
    landmarks = verified_path(cache, LANDMARKS)
    faces = to_float(public_faces(generator, nets.render, landmarks, options.faces)).split(1)
    for method in (once, search.shortened()) * 2:  # compile before timing
        run(method, faces[0], distance)
    passes: list[Record] = []
    searches: list[Record] = []
    rows: list[dict[str, object]] = []
    for i, face in enumerate(faces):
        passes.append(run(once, face, distance))
        searches.append(run(search, face, distance))
        rows.append(row(f"{i}", passes[-1:], searches[-1:]))
    rows.append(row("mean of all", passes, searches))
    show("one pass", rows)


def one_pass(predictor: Predictor, render: Render) -> Method:
    """Return the method that only embeds a face and renders its 1024 px image."""

    def start(face: Tensor, _index: int) -> Tensor:
        ws = predictor.embed(to_uint8(face).permute(0, 2, 3, 1).numpy())
        predictor.synthesize(ws)
        return ws

    return Method("one pass", start, CodeSearch(render, NoDistance(), YARDSTICK, 0), None, {})


def run(method: Method, face: Tensor, distance: Perceptual) -> Record:
    """Embed a face and measure it after every step."""
    features = distance.features(face)

    @torch.no_grad()
    def scorer(img: Tensor) -> Tensor:
        return distance.distance(distance.features(img.clamp(-1, 1)), features)

    recorder = Recorder(
        scorer, face.device, range(method.steps + 1), (), method.steps, lambda: None
    )
    return method.run(face, 0, recorder)


def row(name: str, passes: list[Record], searches: list[Record]) -> dict[str, object]:
    """Compare both on some faces: steps from the mean curve, median times."""
    (found,) = equivalent_steps([MEASURE], passes, searches)
    taken = found.measured if found.steps is None else found.steps
    pass_s = statistics.median(record.start_s for record in passes)
    step_s = statistics.median(record.step_s for record in searches)
    more = "more than " if found.steps is None else ""
    return {
        "face": name,
        "one pass, ms": pass_s * 1000,
        MEASURE: found.one_pass,
        "equivalent steps": f"{more}{taken}",
        "per step, ms": step_s * 1000,
        "all steps, s": f"{more}{taken * step_s:.3g}",
        "ratio": f"{more}{taken * step_s / pass_s:.3g}",
    }


if __name__ == "__main__":
    main()
