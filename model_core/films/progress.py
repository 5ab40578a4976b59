"""What a film's edit reports, and whether it goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from model_core.errors import Stopped

Phase = Literal["read", "edit", "join"]


@dataclass(frozen=True, slots=True)
class FilmProgress:
    """How far a film is.

    Attributes:
        phase: What is done to it: its frames are read for faces, edited, joined with the sound.
        done: Frames.
        total: All of them; None while unknown.
    """

    phase: Phase
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever waits for a film.

    Attributes:
        progress: Called after each frame.
        should_stop: Asked at each frame.
    """

    progress: Callable[[FilmProgress], object]
    should_stop: Callable[[], bool]

    def report(self, phase: Phase, done: int, total: int | None) -> None:
        """Report progress.

        Raises:
            Stopped: If the caller wants no more.
        """
        self.progress(FilmProgress(phase, done, total))
        self.check()

    def check(self) -> None:
        """Do nothing, unless the caller wants no more.

        Raises:
            Stopped: If so.
        """
        if self.should_stop():
            raise Stopped("stopped; finished parts are kept")
