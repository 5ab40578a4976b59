"""How large a film may be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FilmLimits:
    """Largest film that is accepted.

    Attributes:
        max_px: Pixels of a frame, as stored and upright.
        max_frames: Frames.
        max_seconds: Duration.
        max_streams: Pictures, sounds, subtitles and whatever else the file holds.
        max_sounds: Sound streams among them.
    """

    max_px: int = 4096 * 2304
    max_frames: int = 200_000
    max_seconds: float = 2.0 * 60 * 60
    max_streams: int = 32
    max_sounds: int = 8
