"""The second pass: read the film again, and edit and encode it segment by segment.

Codes are smoothed over neighbouring frames, so a few frames wait until those after them have been
read. Memory does not grow with the film.
"""

import itertools
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from model_core.alignment.ffhq import crop_quad
from model_core.atomic_file import write_file
from model_core.compositing.pasting import Blend
from model_core.compositing.placement import Box
from model_core.films.delivering import deliver, even_size
from model_core.films.editor import FilmEditor
from model_core.films.encoding import Picture, write_segment
from model_core.films.flicker import Flicker, FlickerMeter
from model_core.films.planning import NO_RUN, Plan
from model_core.films.progress import Caller
from model_core.films.reading import Film, FilmFrame
from model_core.films.retouching import FaceInFrame, Retoucher
from model_core.films.smoothing import CODES, MOST_FRAMES, NONE
from model_core.films.work import WorkFolder
from model_core.shapes import Face, Pixels, Ws

SEGMENT_FRAMES = 120
BATCH = 8
"""Frames that are rendered together where that is faster."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A frame that waits for those after it."""

    frame: FilmFrame
    pixels: Pixels | None = None
    crop: Face | None = None


class SegmentEditor:
    """Edits the segments of a film that are missing.

    Args:
        editor: What to edit, and with what.
        plan: What becomes of each frame.
        blend: How faces are pasted.
        work: Where segments are written.
        known: When frames are shown, in the film's time base.
    """

    def __init__(
        self,
        editor: FilmEditor,
        plan: Plan,
        blend: Blend,
        work: WorkFolder,
        known: Sequence[int],
    ):
        self._known = known
        self._editor, self._plan, self._blend, self._work = editor, plan, blend, work
        self._retoucher = Retoucher(editor.predictor, editor.step())
        self._smoother = CODES if editor.smoothed else NONE
        self._codes: dict[int, Ws] = {}
        segments = -(-len(plan.run) // SEGMENT_FRAMES)
        self._missing = np.array([not work.segment(n).exists() for n in range(segments)])
        self._batch = BATCH if editor.predictor.batches("synthesize") else 1

    def edit(self, film: Film, caller: Caller) -> None:
        """Edit and write what is missing.

        Raises:
            Stopped: If the caller wants no more; finished segments are kept.
        """
        if not self._missing.any():
            return
        total = len(self._plan.run)
        images = self._images(film, caller)
        for number, group in itertools.groupby(
            images, lambda each: each[0].index // SEGMENT_FRAMES
        ):
            first = next(group)
            picture = _picture(film, first[0])
            meter = FlickerMeter()
            with write_segment(self._work.segment(number), picture) as writer:
                for frame, image, face in itertools.chain([first], group):
                    writer.write(image, frame.pts, frame.duration)
                    if face is not None and face.strength >= 1:
                        meter.add(frame.index, face.quad, face.crop, face.pixels)
                    caller.report("edit", frame.index + 1, total)
                about = {"result": meter.total.result, "source": meter.total.source}
                write_file(self._work.notes(number), json.dumps(about).encode())

    def _images(
        self, film: Film, caller: Caller
    ) -> Iterator[tuple[FilmFrame, Any, FaceInFrame | None]]:
        """Yield the frames of missing segments with what to encode, and the edited face."""
        waiting: deque[_Waiting] = deque()
        last = len(self._plan.run) - 1
        # Codes of the frames before a segment smooth its first ones.
        first = max(0, int(self._missing.argmax()) * SEGMENT_FRAMES - MOST_FRAMES)
        for frame in film.frames(first, self._known, caller.check):
            caller.check()
            waited = self._read(frame)
            if self._missing[frame.index // SEGMENT_FRAMES]:
                waiting.append(waited)
            at_end = frame.index == last
            while waiting:
                ready = self._ready(waiting, frame.index)
                if not ready or (ready < self._batch and not at_end and ready < len(waiting)):
                    break
                yield from self._finish([waiting.popleft() for _ in range(min(ready, self._batch))])
            for index in [
                each for each in self._codes if each < frame.index - 4 * MOST_FRAMES - BATCH
            ]:
                del self._codes[index]

    def _read(self, frame: FilmFrame) -> _Waiting:
        """Crop and embed the face of a frame that will be edited, or smooths one that will."""
        index = frame.index
        low, high = max(0, index - MOST_FRAMES), min(len(self._plan.run) - 1, index + MOST_FRAMES)
        near = self._missing[low // SEGMENT_FRAMES] or self._missing[high // SEGMENT_FRAMES]
        if self._plan.run[index] == NO_RUN or not near:
            return _Waiting(frame)
        pixels = frame.pixels()
        crop = crop_quad(pixels, self._plan.quads[index])
        self._codes[index] = self._editor.predictor.embed(crop[None])[0]
        return _Waiting(frame, pixels, crop)

    def _ready(self, waiting: deque[_Waiting], read: int) -> int:
        """Return how many frames no longer wait."""
        ready = 0
        for each in waiting:
            index = each.frame.index
            if self._plan.run[index] != NO_RUN and self._plan.around(index).stop - 1 > read:
                break
            ready += 1
        return ready

    def _finish(self, ready: list[_Waiting]) -> Iterator[tuple[FilmFrame, Any, FaceInFrame | None]]:
        """Edit frames."""
        faces = {
            each.frame.index: self._face(each.frame.index, each.pixels, each.crop)
            for each in ready
            if each.pixels is not None and each.crop is not None
        }
        boxes: dict[int, Box | None] = {}
        if faces:
            found = self._retoucher.retouch(list(faces.values()), self._blend)
            boxes = dict(zip(faces, found, strict=True))
        for each in ready:
            face = faces.get(each.frame.index)
            edited = None if face is None else face.pixels
            yield each.frame, deliver(each.frame, edited, boxes.get(each.frame.index)), face

    def _face(self, index: int, pixels: Pixels, crop: Face) -> FaceInFrame:
        plan = self._plan
        around = plan.around(index)
        weights = self._smoother.weights(plan.times_s[around], float(plan.times_s[index]))
        codes = torch.stack([self._codes[i] for i in range(around.start, around.stop)])
        ws = torch.einsum("f,frd->rd", torch.from_numpy(weights).float(), codes)
        quad = plan.quads[index]
        return FaceInFrame(pixels, quad, crop, ws, float(plan.strength[index]))


def choose_blend(
    film: Film, editor: FilmEditor, plan: Plan, known: Sequence[int], caller: Caller
) -> Blend:
    """Choose how to paste from a few frames, evenly spread.

    Args:
        film: The film.
        editor: What to edit, and with what.
        plan: What becomes of each frame.
        known: When frames are shown, in the film's time base.
        caller: Whoever waits.

    Raises:
        Stopped: If the caller wants no more.
    """
    edited = plan.edited
    picks = set(edited[np.linspace(0, len(edited) - 1, 7).astype(int)[1:-1:2]].tolist())
    faces = []
    for frame in film.frames(min(picks), known, caller.check):
        caller.check()
        if frame.index in picks:
            pixels, quad = frame.pixels(), plan.quads[frame.index]
            crop = crop_quad(pixels, quad)
            ws = editor.predictor.embed(crop[None])[0]
            faces.append(FaceInFrame(pixels, quad, crop, ws, 1.0))
        if len(faces) == len(picks):
            break
    return Retoucher(editor.predictor, editor.step()).choose_blend(faces)


def read_flicker(work: WorkFolder, frames: int) -> Flicker:
    """Add up what was measured in all segments."""
    total = Flicker()
    for number in range(-(-frames // SEGMENT_FRAMES)):
        about = json.loads(work.notes(number).read_text())
        total += Flicker(about["result"], about["source"])
    return total


def _picture(film: Film, frame: FilmFrame) -> Picture:
    return Picture(even_size(frame), film.time_base, film.rate, frame.colour)
