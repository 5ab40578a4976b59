"""Join segments and the film's sound, packet by packet, without encoding anything again."""

import heapq
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from model_core.atomic_file import partial_file, publish
from model_core.errors import BrokenFilmError, InvalidInputError
from model_core.films.encoding import FORMAT
from model_core.films.extra import load_av
from model_core.films.limits import FilmLimits
from model_core.films.reading import Film, open_film

OUTPUTS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's format for each suffix that an edited film may have."""

_MP4_SOUNDS = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "mp2"}
_PCM = "pcm_"
MARK = (
    "Edited with AI: http://cv.iptc.org/newscodes/digitalsourcetype/"
    "compositeWithTrainedAlgorithmicMedia"
)


@dataclass(frozen=True, slots=True)
class Joined:
    """The edited film.

    Attributes:
        sound: Whether there is any.
        width_px: Width.
        height_px: Height.
        seconds: When the last frame ends.
    """

    sound: bool
    width_px: int
    height_px: int
    seconds: float


Timed = tuple[Fraction, int, Any]
"""Seconds, number of the stream, packet."""


def check_target(film: Film, target: Path) -> None:
    """Refuse a target that cannot be written as asked, before anything is computed.

    Raises:
        InvalidInputError: If it cannot, its suffix is unknown, or it is the film itself.
    """
    suffix = target.suffix.lower()
    if suffix not in OUTPUTS:
        raise InvalidInputError(f"OUT must end in one of {', '.join(OUTPUTS)}, got {target.name}")
    if target.exists() and target.samefile(film.path):
        raise InvalidInputError(f"OUT must not be FILM itself, got {target}")
    if _holds(suffix, film.sounds):
        return
    names = ", ".join(sound.codec_context.name for sound in film.sounds)
    better = next((each for each in (".mkv", ".mov") if _holds(each, film.sounds)), None)
    if better is None:
        raise InvalidInputError(
            f"the film's sound must fit into {' or '.join(OUTPUTS)}, got {names}: convert it to AAC"
        )
    raise InvalidInputError(
        f"OUT must end in {better} for a film whose sound is {names}, which {suffix} files cannot "
        f"hold, got {target.name}"
    )


def _holds(suffix: str, sounds: Sequence[Any]) -> bool:
    """Whether files with a suffix can hold sounds: by what plays widely, and by the muxer."""
    for sound in sounds:
        name = sound.codec_context.name
        plays = suffix == ".mkv" or name.removesuffix("float") in _MP4_SOUNDS
        if not (plays or (suffix == ".mov" and name.startswith(_PCM))):
            return False
    with load_av().open(io.BytesIO(), "w", format=OUTPUTS[suffix]) as scratch:
        try:
            for sound in sounds:
                scratch.add_stream_from_template(sound)
        except ValueError:
            return False
    return True


def join(
    segments: Sequence[Path],
    source: Path,
    target: Path,
    limits: FilmLimits,
    on_frame: Callable[[int], object],
) -> Joined:
    """Write the edited film, which appears under its name when it is complete.

    Args:
        segments: The picture, in order.
        source: The film whose sound is copied.
        target: The edited film.
        limits: Those of the film.
        on_frame: Called after each frame with the number of frames.

    Raises:
        BrokenFilmError: If the sound's times are out of order, or segments do not fit together.
    """
    av = load_av()
    form = OUTPUTS[target.suffix.lower()]
    options = {"movflags": "+faststart"} if form in ("mp4", "mov") else {}
    with partial_file(target) as file:
        with (
            open_film(source, limits) as film,
            av.open(str(segments[0]), format=FORMAT) as first,
            av.open(file.name, "w", format=form, options=options) as out,
        ):
            header = first.streams.video[0]
            picture = out.add_stream_from_template(header)
            picture.time_base = film.time_base
            sounds = {each.index: out.add_stream_from_template(each) for each in film.sounds}
            out.metadata["comment"] = MARK
            done, end_s = 0, 0.0
            pictures = _pictures(segments, bytes(header.codec_context.extradata))
            # Films that begin later than at 0, as broadcasts do, are moved there as a whole.
            begin_s = Fraction(film.container.start_time or 0, 1_000_000)
            for _, number, packet in heapq.merge(
                pictures, _sounds(film), key=lambda each: each[:2]
            ):
                is_picture = number < 0
                shift = round(begin_s / packet.time_base)
                shown = packet.dts if packet.pts is None else packet.pts
                packet.pts, packet.dts = shown - shift, packet.dts - shift
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                packet.stream = picture if is_picture else sounds[number]
                try:
                    out.mux(packet)
                except av.error.ArgumentError as err:  # times that do not rise
                    raise BrokenFilmError(
                        f"the film is damaged: its sound cannot be copied after {end_s:.1f} s, "
                        "where its times are out of order"
                    ) from err
                if is_picture:
                    done, end_s = done + 1, float(end)
                    on_frame(done)
            size = header.codec_context.width, header.codec_context.height
        publish(file, target)
    return Joined(bool(sounds), *size, end_s)


def _pictures(segments: Sequence[Path], extradata: bytes) -> Iterator[Timed]:
    """Read the segments' packets."""
    av = load_av()
    for segment in segments:
        with av.open(str(segment), format=FORMAT) as container:
            stream = container.streams.video[0]
            if bytes(stream.codec_context.extradata) != extradata:
                raise BrokenFilmError(f"segment {segment.name} was encoded with other settings")
            for packet in container.demux(stream):
                if packet.dts is not None:
                    yield packet.dts * packet.time_base, -1, packet


def _sounds(film: Film) -> Iterator[Timed]:
    """Read the packets of all sounds."""
    if film.sounds:
        for packet in film.container.demux(film.sounds):
            if packet.dts is not None:
                yield packet.dts * packet.time_base, packet.stream.index, packet
