"""Encode frames to a segment: H.264 in a NUT file, which keeps any time base exactly.

Segments are independent: each begins with a keyframe, and without B-frames packets are in the order
in which frames are shown, so segments can be joined packet by packet.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from model_core.atomic_file import partial_file, publish
from model_core.films.colour import Colour
from model_core.films.extra import load_av

FORMAT = "nut"
CODEC = "libx264"
THREADS = 1
"""The result should not depend on the number of cores; networks take far longer anyway."""

_OPTIONS = {"preset": "fast", "crf": "16"}


@dataclass(frozen=True, slots=True)
class Picture:
    """What all segments of a film share.

    Attributes:
        size: Width and height, even.
        time_base: Seconds per tick.
        rate: Mean frames per second, for players; None if unknown.
        colour: The colours.
    """

    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction | None
    colour: Colour


class SegmentWriter:
    """Encodes the frames of one segment; `write_segment` makes it."""

    def __init__(self, container: Any, stream: Any):
        self._container, self._stream = container, stream

    def write(self, image: Any, pts: int, duration: int) -> None:
        """Add a frame in 4:2:0."""
        image.pts, image.dts, image.time_base = pts, None, self._stream.codec_context.time_base
        image.duration = duration
        image.pict_type = 0  # the source's keyframes are not ours
        self._container.mux(self._stream.encode(image))

    def finish(self) -> None:
        """Write what the encoder holds back."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def write_segment(target: Path, picture: Picture) -> Iterator[SegmentWriter]:
    """Write a segment that appears under its name when it is complete."""
    av = load_av()
    with partial_file(target) as file:
        with av.open(file.name, "w", format=FORMAT) as container:
            stream = container.add_stream(CODEC, rate=picture.rate, options=dict(_OPTIONS))
            context = stream.codec_context
            stream.width, stream.height = picture.size
            stream.pix_fmt = "yuv420p"
            stream.time_base = context.time_base = picture.time_base
            context.max_b_frames = 0
            context.thread_count = THREADS
            context.flags |= int(av.codec.context.Flags.global_header)
            picture.colour.label(context)
            writer = SegmentWriter(container, stream)
            yield writer
            writer.finish()
        publish(file, target)
