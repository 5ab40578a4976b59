"""What a film is edited with, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from model_core.alignment.ffhq import FaceAligner
from model_core.errors import InvalidInputError
from model_core.films.limits import FilmLimits
from model_core.latents.directions.library import Direction, Step, load_directions
from model_core.predictor import Predictor
from model_core.weights.shipped import DIRECTIONS


@dataclass(frozen=True, slots=True, eq=False)
class FilmEditor:
    """Everything that edits a film.

    Attributes:
        predictor: Embeds and renders faces.
        aligner: Finds them.
        directions: Strength of each direction, by name; they add up.
        blend: How faces are pasted; auto chooses once for the film, by how far they move.
        face: Which person: 0 fills most of the film.
        unsafe: Whether strengths may be beyond the range in which faces hold.
        smoothed: Whether landmarks and codes are smoothed over time.
        limits: Largest film that is accepted.
        library: Directions by name; None takes the shipped ones.
    """

    predictor: Predictor
    aligner: FaceAligner
    directions: Mapping[str, float]
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
            ModelMismatchError: If the shipped directions belong to another generator.
        """
        known = self.library
        if known is None:
            known = load_directions(DIRECTIONS, self.predictor)
        if not self.directions:
            raise InvalidInputError("direction must be given at least once, got none")
        steps = []
        for name, strength in self.directions.items():
            if name not in known:
                names = ", ".join(sorted(known)) or "none (there are no directions)"
                raise InvalidInputError(f"direction must be one of {names}, got {name}")
            calibration = known[name].calibration
            low, high = calibration.furthest if self.unsafe else calibration.held
            if not low <= strength <= high:
                raise InvalidInputError(
                    f"{name} must be from {low:.4g} to {high:.4g} {calibration.unit}, "
                    f"got {strength:g}"
                )
            steps.append(strength * known[name].step)
        return torch.stack(steps).sum(dim=0)

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
        }
