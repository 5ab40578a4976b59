"""Open a film that may be hostile, and decode its frames upright.

Only local files in known containers are opened: no playlists, which name other files, no network
protocols, no devices. Nothing of the file chooses options of the decoder.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from model_core.errors import (
    BrokenFilmError,
    FilmRejectedError,
    FilmTooLargeError,
    UnsupportedFilmError,
)
from model_core.films.colour import Colour, read_colour
from model_core.films.extra import load_av
from model_core.films.geometry import Geometry, read_geometry
from model_core.films.header import (
    CODECS,
    CONTAINERS,
    FORMATS,
    SOUND_CODECS,
    open_picture,
    too_long,
)
from model_core.films.limits import FilmLimits
from model_core.films.seeking import INDEX_OF_ALL, KeyFrame, SeekError, may_seek, seek
from model_core.shapes import Pixels

FASTEST = 480
"""Frames per second."""

MISSING_S = 1.0
"""A film whose packets end this much before its header says is truncated."""

_OPTIONS = {
    "format_whitelist": ",".join(CONTAINERS),
    "protocol_whitelist": "file",
    "codec_whitelist": ",".join(CODECS + SOUND_CODECS),
}


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class FilmFrame:
    """A decoded frame.

    Attributes:
        index: Its number, from 0.
        pts: When it is shown, in the film's time base; always above the frame's before.
        duration: How long, likewise; 0 if the film does not say.
        image: As decoded.
        geometry: How it is shown.
        colour: The film's colours.
    """

    index: int
    pts: int
    duration: int
    image: Any
    geometry: Geometry
    colour: Colour

    def pixels(self) -> Pixels:
        """Return it upright, in RGB."""
        return self.geometry.upright(self.colour.to_rgb(self.image, self.geometry.square))


class Film:
    """An open film; `open_film` makes it.

    Attributes:
        path: Its file.
        time_base: Seconds per tick.
        seconds_expected: Duration by the header; None if it does not say.
        rate: Mean frames per second by the header; None if it does not say, or nonsense.
        container: PyAV's.
        stream: The picture's.
        sounds: The sounds'.
    """

    def __init__(self, path: Path, container: Any, stream: Any, limits: FilmLimits):
        self.path, self._limits = path, limits
        self.container, self.stream = container, stream
        self.sounds = list(container.streams.audio)
        self.time_base: Fraction = stream.time_base
        duration = container.duration  # microseconds
        self.seconds_expected = None if duration is None else duration / 1e6
        rate = stream.average_rate or stream.guessed_rate
        self.rate: Fraction | None = rate if rate and 1 <= rate <= FASTEST else None

    @property
    def frames_expected(self) -> int | None:
        """Number of frames by the index or the header; None if there is none."""
        if self._is_indexed:
            # Not the header's count, which includes frames that an edit list leaves out.
            return len(self.stream.index_entries) or None
        return self.stream.frames or None

    @property
    def _is_indexed(self) -> bool:
        return INDEX_OF_ALL in self.container.format.name

    def frames(
        self,
        first: int = 0,
        known: Sequence[int] = (),
        on_skipped: Callable[[], object] = lambda: None,
    ) -> Iterator[FilmFrame]:
        """Decode frames in the order in which they are shown, once per opening.

        With the times of the frames that have been read before, decoding begins at the last key
        frame that helps. Where the film cannot be entered there, or what is decoded contradicts
        what is known, it begins at the start: the frames are the same either way.

        Args:
            first: Number of the first frame that is wanted.
            known: `pts` of the film's first frames; empty decodes from the start.
            on_skipped: Called for each frame that is decoded but not wanted.

        Raises:
            BrokenFilmError: If the film is damaged or ends early.
            FilmTooLargeError: If it turns out to be longer than its header says.
            UnsupportedFilmError: If its frames change their size, or cannot be shown.
        """
        if first > 0 and may_seek(self.container, known):
            done = first
            try:
                for frame in self._frames_from_key(first, known):
                    if frame.index < first:
                        on_skipped()
                        continue
                    yield frame
                    done = frame.index + 1
                return
            except SeekError as err:
                logger.info("%s is decoded from its start: %s", self.path.name, err)
            with open_film(self.path, self._limits) as again:
                yield from again.frames(done, on_skipped=on_skipped)
            return
        for frame in self._numbered(self._images(self.container.demux())):
            if frame.index < first:
                on_skipped()
            else:
                yield frame

    def _frames_from_key(self, first: int, known: Sequence[int]) -> Iterator[FilmFrame]:
        """Decode from the last key frame at or before a frame.

        Raises:
            SeekError: If that cannot be done, or the frames are not those that are known.
        """
        index = 0
        try:
            with open_film(self.path, self._limits) as start:
                head = next(start.frames())  # the whole film is shown as its first frame is
            if head.pts != known[0]:
                raise SeekError("the first frame is another one")
            key = seek(self.container, self.stream, known, first)
            for frame in self._numbered(self._images(key.packets, key), head, key.index, known):
                index = frame.index
                if index == key.index and not frame.image.key_frame:
                    raise SeekError(f"frame {index} is no key frame, as the container says")
                if index < len(known) and frame.pts != known[index]:
                    raise SeekError(f"frame {index} is another one")
                yield frame
        except FilmRejectedError as err:
            if index < first:  # decoding from the start finds out what is wrong, or nothing
                raise SeekError(str(err)) from err
            raise
        if index + 1 < len(known):
            raise SeekError("frames are missing")

    def _numbered(
        self,
        images: Iterable[Any],
        head: FilmFrame | None = None,
        index: int = 0,
        known: Sequence[int] = (),
    ) -> Iterator[FilmFrame]:
        """Number and check frames.

        Args:
            images: As decoded.
            head: The film's first frame; None if the first image is.
            index: Number of the first image.
            known: `pts` of the frames before it, at least.
        """
        last = known[index - 1] if index else None
        for image in images:
            if head is None:
                aspect = self.stream.sample_aspect_ratio
                geometry, colour = read_geometry(image, aspect), read_colour(image)
                self._check_size(*geometry.shown)
                head = FilmFrame(0, _stamp(image), 0, image, geometry, colour)
            geometry, colour = head.geometry, head.colour
            if (image.width, image.height) != geometry.stored:
                raise UnsupportedFilmError(
                    f"the film's frames change their size after {index} frames, from "
                    f"{geometry.stored[0]}x{geometry.stored[1]} to {image.width}x{image.height}"
                )
            if index >= self._limits.max_frames:
                raise too_long(f"{self._limits.max_frames} frames")
            stamp = _stamp(image)
            pts = stamp if last is None else max(stamp, last + 1)
            if (pts - head.pts) * self.time_base > self._limits.max_seconds:
                raise too_long(f"{self._limits.max_seconds:g} seconds")
            yield FilmFrame(index, pts, image.duration or 0, image, geometry, colour)
            index, last = index + 1, pts
        if index == 0:
            raise BrokenFilmError("the film is damaged: no frame can be read")

    def _images(self, demuxed: Iterable[Any], key: KeyFrame | None = None) -> Iterator[Any]:
        """Decode, and say how far that went when it fails.

        Args:
            demuxed: Packets of all streams.
            key: Where the film has been entered; None at its start.
        """
        av = load_av()
        end_s = 0.0
        done, packets = (key.index, key.packets_before) if key else (0, 0)
        # A key frame may be followed by frames that are shown before it, and need others.
        leading = key is not None
        try:
            for packet in demuxed:
                if packet.dts is not None:
                    stop = (packet.pts or packet.dts) + (packet.duration or 0)
                    end_s = max(end_s, float(stop * packet.time_base))
                if packet.stream is not self.stream:
                    continue
                packets += packet.dts is not None
                for image in packet.decode():
                    leading = leading and key is not None and _stamp(image) < key.pts
                    if leading:
                        continue
                    if image.is_corrupt:
                        raise self._broken(done, "a frame is damaged")
                    yield image
                    done += 1
        except av.error.FFmpegError as err:
            raise self._broken(done, f"{err.strerror}") from err
        start_s = (self.container.start_time or 0) / 1e6
        short_s = (self.seconds_expected or 0) - (end_s - start_s)
        indexed = self.frames_expected if self._is_indexed else None
        if packets < (indexed or 0) or short_s > MISSING_S:
            raise self._broken(done, "it ends early")

    def _broken(self, frames: int, reason: str) -> BrokenFilmError:
        seconds = ""
        if frames and self.rate:
            seconds = f" (about {float(frames / self.rate):.1f} s)"
        return BrokenFilmError(
            f"the film is damaged: {reason} after {frames} frames{seconds} that can be read"
        )

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._limits.max_px:
            raise FilmTooLargeError(
                f"the film's frames must have at most {self._limits.max_px} pixels, got "
                f"{width}x{height}"
            )


@contextmanager
def open_film(path: Path, limits: FilmLimits) -> Iterator[Film]:
    """Open a film without decoding it.

    Raises:
        UnsupportedFilmError: If it is no film in a known format.
        FilmTooLargeError: If its header exceeds a limit.
        MissingExtraError: If PyAV is not installed.
        OSError: If the file cannot be read.
    """
    av = load_av()
    if not path.is_file():
        raise UnsupportedFilmError(f"film must be a file, got {path}")
    with path.open("rb"):
        pass  # an unreadable file is no damaged film
    try:
        # An absolute path cannot be taken for the name of a protocol, such as concat:a|b. Titles
        # may be in any encoding.
        container = av.open(str(path.absolute()), options=_OPTIONS, metadata_errors="replace")
    except av.error.FFmpegError as err:
        raise UnsupportedFilmError(
            f"{path.name} is not a film that can be read ({FORMATS}), or its beginning or index "
            "is missing"
        ) from err
    with container:
        yield Film(path, container, open_picture(container, limits), limits)


def _stamp(image: Any) -> int:
    """Return when an image is shown, in the film's time base."""
    stamp = image.pts if image.pts is not None else image.dts
    if stamp is None:
        raise UnsupportedFilmError("the film's frames have no timestamps")
    return int(stamp)
