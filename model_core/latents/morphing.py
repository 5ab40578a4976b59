"""Go from person to person: the codes of a morph's frames, and where their details come from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model_core.errors import InvalidInputError
from model_core.latents.editing import morph
from model_core.latents.latent import Latent
from model_core.shapes import Ws


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a code that are blended; the others are the second person's.

    Attributes:
        first: The first of them, counted from 0.
        last: The last of them; None for the finest.
    """

    first: int = 0
    last: int | None = None

    def blend(self, a: Latent, b: Latent, lam: float) -> Ws:
        """Blend the codes of two latents: lam is the share of the first.

        Raises:
            InvalidInputError: As for `editing.morph`.
        """
        return morph(a.ws[None], b.ws[None], lam, self.first, self.last)[0]

    def covers(self, ws: Ws) -> bool:
        """Whether all rows of a code are blended."""
        return not self.first and self.last in (None, len(ws) - 1)


@dataclass(frozen=True, slots=True)
class MorphStep:
    """A frame of a morph.

    Attributes:
        first: Index of the person that is left.
        lam: Share of that person; the rest is the next one's.
        ws: The blended code.
    """

    first: int
    lam: float
    ws: Ws


def morph_steps(people: Sequence[Latent], count: int, rows: Rows) -> Iterator[MorphStep]:
    """Go from the first person to the last in equal steps, both included.

    Args:
        people: Two or more.
        count: Number of steps, at least one a person.
        rows: The rows that are blended.

    Raises:
        InvalidInputError: If there are too few people or steps, or as for `editing.morph`.
    """
    legs = len(people) - 1
    if legs < 1 or count <= legs:
        raise InvalidInputError(
            f"people and steps must be 2 or more, and steps at least one a person, "
            f"got {len(people)} and {count}"
        )
    for step in range(count):
        # Whole numbers, so that rounding never misses a person on the way.
        first, rest = divmod(step * legs, count - 1)
        if first == legs:
            first, rest = legs - 1, count - 1
        lam = 1 - rest / (count - 1)
        yield MorphStep(first, lam, rows.blend(people[first], people[first + 1], lam))


def without_blending(a: Latent, b: Latent, ws: Ws, rows: Rows) -> Latent | None:
    """Return the latent of a blended code whose detail is not blended; None if it must be.

    It is blended if all rows are; otherwise it is the second person's, as the other rows are.

    Args:
        a: The latent of lam = 1.
        b: The latent of lam = 0.
        ws: The blended code.
        rows: The rows that are blended.
    """
    if a.detail is None and b.detail is None:
        return Latent(ws)
    return None if rows.covers(ws) else b.moved_to(ws)
