"""Enter a film at a key frame, where it is certain which frame that is.

Frames have no numbers in a film; they are told apart by their times, which an earlier reading has
kept. So a film can be entered only where all known times are the film's own and rise.
"""

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_core.films.extra import load_av

INDEX_OF_ALL = "mp4"
"""Part of FFmpeg's name of the family that has an index of all frames: MP4, MOV."""

INDEXED = (INDEX_OF_ALL, "matroska")
"""Likewise for all that know their key frames; the other is of MKV and WebM.

AVI has no times of frames, and MPEG-TS is entered anywhere.
"""

TRIES = 4


class SeekError(Exception):
    """A film cannot be entered at a key frame, or not at the right one."""


@dataclass(frozen=True, slots=True, eq=False)
class KeyFrame:
    """Where a film has been entered.

    Attributes:
        index: The key frame's number.
        pts: When it is shown.
        packets: Those of all streams from there on.
        packets_before: Number of the picture's packets before it; 0 if the container has no index
            of all packets.
    """

    index: int
    pts: int
    packets: Iterator[Any]
    packets_before: int


def may_seek(container: Any, known: Sequence[int]) -> bool:
    """Whether frames can be told apart by their times.

    A frame whose time does not rise is given that of the frame before and one tick, so frames one
    tick apart may be such.
    """
    indexed = any(name in container.format.name for name in INDEXED)
    return indexed and len(known) > 1 and int(np.diff(known).min()) > 1


def seek(container: Any, stream: Any, known: Sequence[int], first: int) -> KeyFrame:
    """Go to the last key frame at or before a frame, or the last known one.

    Args:
        container: PyAV's.
        stream: The picture's.
        known: Times of the film's first frames, rising.
        first: Number of the frame.

    Raises:
        SeekError: If there is no such key frame, or it is unknown which one it is.
    """
    wanted = known[min(first, len(known) - 1)]
    aim = wanted
    for _ in range(TRIES):
        packets, packet = _enter(container, stream, aim)
        if packet.pts <= wanted:
            break
        # The container's index is in the order of decoding, in which key frames come earlier.
        aim = min(aim, packet.pts if packet.dts is None else packet.dts) - 1
    else:
        raise SeekError("no earlier key frame was found")
    index = bisect.bisect_left(known, packet.pts)
    if known[index] != packet.pts:
        raise SeekError("the key frame is unknown")
    return KeyFrame(index, packet.pts, packets, _packets_before(container, stream, packet))


def _packets_before(container: Any, stream: Any, packet: Any) -> int:
    if INDEX_OF_ALL not in container.format.name:
        return 0
    place = stream.index_entries.search_timestamp(packet.dts, any_frame=True)
    if place < 0 or stream.index_entries[place].pos != packet.pos:
        raise SeekError("the key frame is not in the index")
    return int(place)


def _enter(container: Any, stream: Any, aim: int) -> tuple[Iterator[Any], Any]:
    """Return all packets from a key frame on, and the key frame's."""
    read = []
    try:
        container.seek(aim, stream=stream)
        packets = container.demux()
        for packet in packets:
            read.append(packet)
            if packet.stream is stream:
                break
    except load_av().error.FFmpegError as err:
        raise SeekError(f"{err.strerror}") from err
    key = read[-1] if read else None
    if key is None or key.stream is not stream or key.pts is None or not key.is_keyframe:
        raise SeekError("there is no key frame")
    return itertools.chain(read, packets), key
