"""What a film is edited with, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from model_core.alignment.ffhq import FaceAligner
from model_core.errors import InvalidInputError
from model_core.films.extra import load_av
from model_core.films.limits import FilmLimits
from model_core.latents.directions.available import read_directions
from model_core.latents.directions.combining import combined_step
from model_core.latents.directions.library import Direction, Step
from model_core.predictor import Predictor

VERSION = 1
"""Of what is kept in a work folder; parts of another version cannot be continued."""


@dataclass(frozen=True, slots=True, eq=False)
class FilmEditor:
    """Everything that edits a film.

    Attributes:
        predictor: Embeds and renders faces.
        aligner: Finds them.
        directions: Strength of each direction, by name; they add up. None takes its default.
        blend: How faces are pasted; auto chooses once for the film, by how far they move.
        face: Which person: 0 fills most of the film.
        unsafe: Whether strengths may be beyond the range in which faces hold.
        smoothed: Whether landmarks and codes are smoothed over time.
        limits: Largest film that is accepted.
        library: Directions by name; None takes the shipped ones.
    """

    predictor: Predictor
    aligner: FaceAligner
    directions: Mapping[str, float | None]
    blend: Literal["auto", "transfer", "render"] = "auto"
    face: int = 0
    unsafe: bool = False
    smoothed: bool = True
    limits: FilmLimits = field(default_factory=FilmLimits)
    library: Mapping[str, Direction] | None = None

    def step(self) -> Step:
        """Return what is added to each code.

        Raises:
            InvalidInputError: If there is no such direction, or a strength is out of its range.
            CheckpointError: If a shipped direction is damaged.
        """
        if not self.directions:
            raise InvalidInputError("direction must be given at least once, got none")
        known = self.library
        if known is None:
            known = read_directions(None, self.predictor)
        return combined_step(known, self.directions, self.unsafe)

    def settings(self) -> dict[str, Any]:
        """Return everything that the edited film depends on."""
        return {
            "directions": dict(self.directions),
            "blend": self.blend,
            "face": self.face,
            "smoothed": self.smoothed,
            "generator": self.predictor.generator_name,
            "fingerprint": self.predictor.fingerprint,
            "weights": dict(sorted(self.predictor.weight_digests.items())),
            "version": VERSION,
            "pyav": load_av().__version__,  # other encoders write segments that do not fit
        }
