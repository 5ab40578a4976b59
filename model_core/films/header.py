"""Which films may be read, and what their header must say before anything is decoded."""

from typing import Any

from model_core.errors import FilmTooLargeError, UnsupportedFilmError
from model_core.films.extra import load_av
from model_core.films.limits import FilmLimits

CONTAINERS = ("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts")
"""FFmpeg's names of the formats that may be read."""

CODECS = (
    "h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "mpeg4", "mpeg2video", "mjpeg", "prores",
    "ffv1", "dnxhd",
)  # fmt: skip
"""FFmpeg's names of the decoders that may be used; AV1 has two."""

SOUND_CODECS = (
    "aac", "ac3", "alac", "eac3", "flac", "mp2", "mp2float", "mp3", "mp3float", "opus", "libopus",
    "vorbis", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_u8", "pcm_f32le",
)  # fmt: skip
"""Likewise for sound, of which only the beginning is decoded, to learn its rate."""

FORMATS = "MP4, MOV, MKV, WebM, AVI or MPEG-TS"


def open_picture(container: Any, limits: FilmLimits) -> Any:
    """Check a film's header; set up and return the stream of its picture.

    Args:
        container: PyAV's.
        limits: What is refused.

    Raises:
        UnsupportedFilmError: If there is no picture, or a codec is unknown.
        FilmTooLargeError: If the header exceeds a limit.
    """
    if len(container.streams) > limits.max_streams:
        raise FilmTooLargeError(
            f"the film must have at most {limits.max_streams} streams, got {len(container.streams)}"
        )
    if len(container.streams.audio) > limits.max_sounds:
        raise FilmTooLargeError(
            f"the film must have at most {limits.max_sounds} sounds, "
            f"got {len(container.streams.audio)}"
        )
    if any(sound.codec_context is None for sound in container.streams.audio):
        raise UnsupportedFilmError(
            "the film's sound is in an unknown codec, which cannot be copied: convert it to AAC, "
            "or remove it"
        )
    covers = load_av().stream.Disposition.attached_pic
    streams = [each for each in container.streams.video if not each.disposition & covers]
    if not streams:
        raise UnsupportedFilmError("the film has sound only: no picture was found in it")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise UnsupportedFilmError("the film's codec is unknown, or its index is damaged")
    if context.name not in CODECS:
        raise UnsupportedFilmError(
            f"the film's codec must be one of {', '.join(CODECS)}, got {context.name}"
        )
    if context.width * context.height > limits.max_px:
        raise FilmTooLargeError(
            f"the film's frames must have at most {limits.max_px} pixels, got "
            f"{context.width}x{context.height}"
        )
    if container.duration is not None and container.duration > limits.max_seconds * 1e6:
        raise too_long(f"{limits.max_seconds:g} seconds, got {container.duration / 1e6:.0f}")
    if stream.frames > limits.max_frames:
        raise too_long(f"{limits.max_frames} frames, got {stream.frames}")
    # A frame larger than the header says is refused before memory is taken for it.
    context.options = {"max_pixels": str(limits.max_px)}
    context.thread_type = "AUTO"
    return stream


def too_long(rule: str) -> FilmTooLargeError:
    """Return the error for a film that is longer than a rule allows."""
    return FilmTooLargeError(f"the film must have at most {rule}")
