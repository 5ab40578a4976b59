"""Search one photo for faces, only as closely as needed and without repeating work."""

from collections.abc import Sequence
from functools import cached_property

from PIL import Image

from model_core.alignment.face_finder import FaceFinder, FirstLook
from model_core.alignment.sightings import DetectedFace
from model_core.errors import InvalidInputError, NoFaceError

NO_FACE = (
    "no face was found: use a photo in which the face looks at the camera, both eyes are visible,"
    " it is well lit, not covered, and larger than about 80 pixels"
)


class FaceSearch:
    """The faces in a photo, searched for on demand; not for several threads at a time.

    Args:
        finder: Finds the faces.
        grey: The photo's `brightness`; the photo itself is not kept.
        all_faces: Whether `faces` will be wanted. The closer look for them then starts at once in
            another thread, in parallel with the first look.
    """

    def __init__(self, finder: FaceFinder, grey: Image.Image, all_faces: bool = False):
        self._finder, self._grey = finder, grey
        self._closer = finder.start_closer_look(grey) if all_faces else None

    @cached_property
    def _first_look(self) -> FirstLook:
        return self._finder.first_look(self._grey)

    @property
    def largest(self) -> DetectedFace | None:
        """The largest face; a quick look is enough if it is large and clear."""
        return self._first_look.largest or next(iter(self.faces), None)

    @cached_property
    def faces(self) -> list[DetectedFace]:
        """All faces, the largest first, at most 16."""
        return self._finder.find_further(self._grey, self._first_look, self._closer)

    def choose(self, rank: int) -> DetectedFace:
        """Return the face with the given rank by size, from 0.

        Raises:
            NoFaceError: If the photo shows none.
            InvalidInputError: If there are fewer faces.
        """
        if rank == 0 and self.largest is not None:
            return self.largest
        return self.choose_several([rank])[rank]

    def choose_several(self, ranks: Sequence[int] | None) -> dict[int, DetectedFace]:
        """Return the faces with the given ranks by rank, the largest first; None takes all.

        Raises:
            NoFaceError: If the photo shows none.
            InvalidInputError: If there are fewer faces.
        """
        count = len(self.faces)
        if not count:
            raise NoFaceError(NO_FACE)
        wanted = range(count) if ranks is None else sorted(ranks)
        for rank in wanted:
            if not 0 <= rank < count:
                many = f"0 to {count - 1}, as {count} faces were found"
                rule = many if count > 1 else "0, as 1 face was found"
                raise InvalidInputError(f"face must be {rule}, got {rank}")
        return {rank: self.faces[rank] for rank in wanted}
