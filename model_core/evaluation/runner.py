"""Run every system on its faces, or take what an earlier run left."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from model_core.evaluation.methods import System
from model_core.evaluation.recorder import Watch
from model_core.evaluation.records import Record, digest, load_record, save_record
from model_core.evaluation.scoring import Judge
from model_core.images import to_float
from model_core.shapes import ByteImages

MARKS = (5, 10, 20, 40, 50, 100, 200, 500, 1000, 2000)
"""Numbers of steps of which an image is kept, beside the last."""

WORTH_STEPS = 200
"""First steps that are measured one by one, of the systems that are yardsticks."""

YARDSTICKS = ("iterator",)

Records = dict[str, list[Record]]


class Bench:
    """Faces, a judge and a folder.

    Args:
        faces: Aligned, 256 px.
        judge: Measures.
        folder: Where records are kept.
        few: How many of the first faces the systems that search get.
        device: Where the systems and the judge run.
    """

    def __init__(
        self, faces: ByteImages, judge: Judge, folder: Path, few: int, device: str = "cpu"
    ):
        self.faces, self.judge, self._device = faces, judge, device
        self._folder, self._few = folder, min(few, len(faces))

    def run(self, systems: Sequence[System]) -> Records:
        """Return the records of every system, in the order of the faces."""
        records: Records = {system.name: [] for system in systems}
        jobs = [
            (system, i)
            for i in range(len(self.faces))
            for system in systems
            if system.one_pass or i < self._few
        ]
        warm: set[str] = set()
        total = sum(system.steps + 1 for system, _ in jobs)
        with tqdm(total=total, unit="step") as bar:
            for system, i in jobs:
                bar.set_description(f"face {i + 1}, {system.name}")
                records[system.name].append(self._record(system, i, warm, bar.update))
        return records

    def _record(
        self, system: System, index: int, warm: set[str], progress: Callable[..., object]
    ) -> Record:
        face = self.faces[index]
        measured = self._measured(system)
        facts = system.facts | {"measures": self.judge.measures, "measured": sorted(measured)}
        key = digest(facts, face)
        path = self._folder / system.name / f"{index:04d}.safetensors"
        if record := load_record(path, key):
            progress(system.steps + 1)
            return record
        img = to_float(face[None]).to(self._device)
        if system.name not in warm:
            _warm_up(system, self.judge, img)
            warm.add(system.name)
        marks = {*MARKS, 0}
        judge = self.judge.against(img)
        watch = Watch(judge, judge.device, measured, marks, system.steps, progress)
        record = system.run(img, index, watch)
        save_record(path, record, key)
        return record

    @staticmethod
    def _measured(system: System) -> set[int]:
        every = range(min(system.steps, WORTH_STEPS) + 1) if system.name in YARDSTICKS else ()
        return {0, *every, *MARKS, system.search.steps}


def _warm_up(system: System, judge: Judge, face: torch.Tensor) -> None:
    """Run a system for a step or two, so that whatever compiles or allocates does so untimed."""
    short = system.shortened()
    for _ in range(2):
        watch = Watch(judge.against(face), face.device, (), (), short.steps, lambda: None)
        short.run(face, 0, watch)
