"""Run every method on its faces, reusing the records of earlier runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from model_core.evaluation.methods import Method
from model_core.evaluation.recorder import Recorder
from model_core.evaluation.records import Record, digest, load_record, save_record
from model_core.evaluation.scoring import Scorer
from model_core.images import to_float
from model_core.shapes import ByteImages

MARKS = (5, 10, 20, 40, 50, 100, 200, 500, 1000, 2000)
"""Step counts at which an image is kept, in addition to the last."""

DENSE_STEPS = 200
"""How many of the first steps are measured one by one, for the reference methods."""

YARDSTICKS = ("iterator",)

Records = dict[str, list[Record]]


class EvaluationRunner:
    """Runs methods on faces and keeps their records.

    Args:
        faces: Aligned, 256 px.
        scorer: Computes the metrics.
        folder: Folder of the records.
        few: Number of faces for iterative methods; they get the first ones.
        device: Device of the methods and the scorer.
    """

    def __init__(
        self, faces: ByteImages, scorer: Scorer, folder: Path, few: int, device: str = "cpu"
    ):
        self.faces, self.scorer, self._device = faces, scorer, device
        self._folder, self._few = folder, min(few, len(faces))

    def run(self, methods: Sequence[Method]) -> Records:
        """Return the records of every method, in the order of the faces."""
        records: Records = {method.name: [] for method in methods}
        jobs = [
            (method, i)
            for i in range(len(self.faces))
            for method in methods
            if method.one_pass or i < self._few
        ]
        warm: set[str] = set()
        total = sum(method.steps + 1 for method, _ in jobs)
        with tqdm(total=total, unit="step") as bar:
            for method, i in jobs:
                bar.set_description(f"face {i + 1}, {method.name}")
                records[method.name].append(self._record(method, i, warm, bar.update))
        return records

    def _record(
        self, method: Method, index: int, warm: set[str], progress: Callable[..., object]
    ) -> Record:
        face = self.faces[index]
        measured = self._measured(method)
        facts = method.facts | {"measures": self.scorer.measures, "measured": sorted(measured)}
        key = digest(facts, face)
        path = self._folder / method.name / f"{index:04d}.safetensors"
        if record := load_record(path, key):
            progress(method.steps + 1)
            return record
        img = to_float(face[None]).to(self._device)
        if method.name not in warm:
            _warm_up(method, self.scorer, img)
            warm.add(method.name)
        marks = {*MARKS, 0}
        scorer = self.scorer.against(img)
        recorder = Recorder(scorer, scorer.device, measured, marks, method.steps, progress)
        record = method.run(img, index, recorder)
        save_record(path, record, key)
        return record

    @staticmethod
    def _measured(method: Method) -> set[int]:
        every = range(min(method.steps, DENSE_STEPS) + 1) if method.name in YARDSTICKS else ()
        return {0, *every, *MARKS, method.search.steps}


def _warm_up(method: Method, scorer: Scorer, face: torch.Tensor) -> None:
    """Run one or two steps of a method, so that compilation and allocation are not timed."""
    short = method.shortened()
    for _ in range(2):
        recorder = Recorder(scorer.against(face), face.device, (), (), short.steps, lambda: None)
        short.run(face, 0, recorder)
