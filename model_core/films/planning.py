"""Decide for each frame of a film whether it is edited, where, and how strongly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from model_core.films.smoothing import MOST_FRAMES, Smoother
from model_core.films.tracking import Track

FADE_S = 0.2
"""Duration of the fade where the face appears or vanishes within a shot."""

NO_RUN = -1


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What becomes of a film's frames.

    Attributes:
        times_s: When each is shown.
        run: Number of the uninterrupted sight of the face it belongs to; NO_RUN leaves the frame
            as it is. Nothing is smoothed across runs.
        quads: Corners of the smoothed crop; 0 without one.
        strength: Share of the edit, 0 to 1.
    """

    times_s: Float64[np.ndarray, " frames"]
    run: Int64[np.ndarray, " frames"]
    quads: Float64[np.ndarray, "frames 4 2"]
    strength: Float32[np.ndarray, " frames"]

    @property
    def edited(self) -> Int64[np.ndarray, " edited"]:
        """The frames that are edited."""
        return np.nonzero(self.run != NO_RUN)[0]

    def around(self, index: int) -> slice:
        """Return the frames of the same run around a frame, which may smooth it."""
        low, high = max(0, index - MOST_FRAMES), index + MOST_FRAMES + 1
        same = low + np.nonzero(self.run[low:high] == self.run[index])[0]
        return slice(int(same[0]), int(same[-1]) + 1)


def make_plan(
    tracks: Sequence[Track],
    times_s: Float64[np.ndarray, " frames"],
    cuts: Bool[np.ndarray, " frames"],
    smoother: Smoother,
) -> Plan:
    """Plan a film.

    Args:
        tracks: Those of the person to be edited.
        times_s: When each frame is shown, rising.
        cuts: Before which frames the picture was cut.
        smoother: Of the crops' corners.
    """
    count = len(times_s)
    parts = [part for track in tracks for part in track.parts()]
    run = np.full(count, NO_RUN, np.int64)
    quads = np.zeros((count, 4, 2))
    strength = np.zeros(count, np.float32)
    number = 0
    # The larger track first: where two show the person, as in a mirror, that is edited.
    for track in sorted(parts, key=lambda each: each.area, reverse=True):
        first, last = track.indices[0], track.indices[-1]
        if np.any(run[first : last + 1] != NO_RUN):
            continue
        frames = np.arange(first, last + 1)
        seen = np.array(track.indices)
        # A weighted mean of squares, corner by corner, is a square again.
        smooth = smoother.smooth(times_s[seen], np.stack(track.quads), times_s[frames])
        run[frames] = number
        quads[frames] = smooth
        number += 1
    for each in range(number):
        frames = np.nonzero(run == each)[0]
        strength[frames] = _fade(int(frames[0]), int(frames[-1]), times_s, cuts, run)
    return Plan(times_s, run, quads, strength)


def _fade(
    first: int,
    last: int,
    times_s: Float64[np.ndarray, " frames"],
    cuts: Bool[np.ndarray, " frames"],
    run: Int64[np.ndarray, " frames"],
) -> Float64[np.ndarray, " run"]:
    """Return the strength over a run: it rises after frames without the face, and falls before.

    It does not where the shot begins or ends, nor between runs that follow each other.
    """
    times = times_s[first : last + 1]
    strength = np.ones(len(times))
    if first > 0 and run[first - 1] == NO_RUN and not cuts[first]:
        strength = np.minimum(strength, (times - times_s[first - 1]) / FADE_S)
    if last + 1 < len(run) and run[last + 1] == NO_RUN and not cuts[last + 1]:
        strength = np.minimum(strength, (times_s[last + 1] - times) / FADE_S)
    return strength
