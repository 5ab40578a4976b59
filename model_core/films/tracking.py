"""Whose face is which: faces are linked to tracks over frames, tracks to persons.

A track ends where the face is lost, jumps, or turns out to be somebody else. It never crosses a
cut.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Float64

from model_core.alignment.ffhq import ffhq_quad
from model_core.films.cuts import find_jumps
from model_core.films.observing import SeenFace, SeenFrame, overlap
from model_core.metrics.identity import SAME_PERSON_SIMILARITY

BRIDGED_FRAMES = 6
"""A face may be unseen for this many frames and still be the same track: a blink, a hand."""

LEAST_OVERLAP = 0.3
"""Of the boxes in two frames of one track."""

JUMP = 0.03
"""Mean distance, in sides of the crop, by which its corners must jump to end a track: in a cut
within one scene, all else stays where it is."""

Descriptor = Float32[np.ndarray, "features"]


@dataclass(slots=True, eq=False)
class Track:
    """One face over consecutive frames.

    Attributes:
        indices: Frames in which it is seen.
        quads: Corners of its crop there.
        area: Sum of its boxes' areas.
        box: The last one.
        descriptor: Sum of its descriptors; None before the first.
    """

    box: tuple[float, float, float, float]
    indices: list[int] = field(default_factory=list)
    quads: list[Float64[np.ndarray, "4 2"]] = field(default_factory=list)
    area: float = 0.0
    descriptor: Descriptor | None = None

    def add(self, index: int, face: SeenFace) -> None:
        """Add the face of a frame."""
        self.indices.append(index)
        self.quads.append(ffhq_quad(face.landmarks))
        self.area += face.width * (face.box[3] - face.box[1])
        self.box = face.box
        if face.descriptor is not None:
            known = 0 if self.descriptor is None else self.descriptor
            self.descriptor = np.asarray(known + face.descriptor, np.float32)

    def may_be(self, face: SeenFace) -> float:
        """Return how well a face of a later frame fits; 0 if it is not this one."""
        shared = overlap(self.box, face.box)
        if shared < LEAST_OVERLAP:
            return 0.0
        if self.descriptor is None or face.descriptor is None:
            return shared
        is_other = similarity(self.descriptor, face.descriptor) < SAME_PERSON_SIMILARITY
        return 0.0 if is_other else shared

    def parts(self) -> list["Track"]:
        """Split the track where the face jumps."""
        corners = np.stack(self.quads)
        side = float(np.median(np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)))
        steps = np.linalg.norm(np.diff(corners, axis=0), axis=2).mean(1) / side
        steps /= np.diff(self.indices)  # per frame
        jumps = np.nonzero(find_jumps(np.append(0.0, steps), JUMP))[0].tolist()
        parts = []
        for first, end in itertools.pairwise([0, *jumps, len(corners)]):
            area = self.area * (end - first) / len(corners)
            part = Track(self.box, self.indices[first:end], self.quads[first:end], area)
            part.descriptor = self.descriptor
            parts.append(part)
        return parts


def similarity(a: Descriptor, b: Descriptor) -> float:
    """Return the cosine of two descriptors."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9))


def link(frames: Iterable[tuple[int, SeenFrame, bool]]) -> list[Track]:
    """Link the faces of all frames to tracks.

    Args:
        frames: Number of each frame, what is seen, and whether the picture was cut before it.
    """
    done: list[Track] = []
    alive: list[Track] = []
    for index, frame, is_cut in frames:
        ended = [t for t in alive if is_cut or index - t.indices[-1] > BRIDGED_FRAMES + 1]
        done += ended
        alive = [track for track in alive if track not in ended]
        free = list(alive)
        for face in frame.faces:
            fits = [track.may_be(face) for track in free]
            if fits and max(fits) > 0:
                track = free.pop(int(np.argmax(fits)))
            else:
                track = Track(face.box)
                alive.append(track)
            track.add(index, face)
    return done + alive


def persons(
    tracks: Iterable[Track], check: Callable[[], object] = lambda: None
) -> list[list[Track]]:
    """Group tracks by person; the person whose face fills most of the film comes first.

    Args:
        tracks: All tracks.
        check: Called for each; what it raises passes through.
    """
    groups: list[list[Track]] = []
    known = _People()
    for track in sorted(tracks, key=lambda each: each.area, reverse=True):
        check()
        number = None if track.descriptor is None else known.find(track.descriptor)
        if number is None:
            number = len(groups)
            groups.append([])
        groups[number].append(track)
        if track.descriptor is not None:
            known.add(number, track.descriptor)
    return sorted(groups, key=lambda group: sum(each.area for each in group), reverse=True)


class _People:
    """Sums of the descriptors of each person, in one array: a long film has thousands of tracks."""

    def __init__(self) -> None:
        self._sums: Float32[np.ndarray, "room features"] | None = None
        self._norms: Float32[np.ndarray, " room"] = np.zeros(0, np.float32)

    def find(self, descriptor: Descriptor) -> int | None:
        """Return the number of the person most like this; None if it is nobody known."""
        if self._sums is None:
            return None
        products = self._sums @ descriptor  # of persons without a descriptor it is 0
        alike = products / (self._norms * np.linalg.norm(descriptor) + 1e-9)
        best = int(np.argmax(alike))
        return best if alike[best] >= SAME_PERSON_SIMILARITY else None

    def add(self, number: int, descriptor: Descriptor) -> None:
        """Add to a person's descriptors."""
        if self._sums is None or number >= len(self._sums):
            sums = np.zeros((2 * number + 8, len(descriptor)), np.float32)
            norms = np.zeros(len(sums), np.float32)
            if self._sums is not None:
                sums[: len(self._sums)], norms[: len(self._norms)] = self._sums, self._norms
            self._sums, self._norms = sums, norms
        self._sums[number] += descriptor
        self._norms[number] = np.linalg.norm(self._sums[number])
