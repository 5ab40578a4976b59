"""Landmarks of generated faces, measured once and stored."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from model_core.alignment.face_finder import FaceFinder
from model_core.errors import InvalidInputError

SAMPLE_PX = 512
SAVE_EVERY = 20

Landmarks = Float64[np.ndarray, "68 2"]


def find_landmarks(image: UInt8[np.ndarray, "height width 3"], finder: FaceFinder) -> Landmarks:
    """Find the landmarks of an image's largest face, in pixels of a copy of 512 px; NaN if none."""
    size = (SAMPLE_PX, SAMPLE_PX)
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    face = finder.find_largest(small)
    return np.full((68, 2), np.nan) if face is None else face.landmarks


def measure_samples(
    measure: Callable[[int], Landmarks],
    count: int,
    path: Path | None = None,
    on_step: Callable[[], object] = lambda: None,
) -> Float64[np.ndarray, "seeds 68 2"]:
    """Measure the faces of seeds 0 to count - 1.

    Args:
        measure: Returns the landmarks of the face of a seed.
        count: Number of seeds, 1 or more.
        path: .npy file that stores the measurements; those it already holds are not repeated.
        on_step: Called after each seed.

    Raises:
        InvalidInputError: If the file holds something else.
    """
    rows = [] if path is None or not path.is_file() else _read(path)[:count]
    for _ in rows:
        on_step()
    for seed in range(len(rows), count):
        rows.append(measure(seed))
        if path is not None and (len(rows) % SAVE_EVERY == 0 or len(rows) == count):
            np.save(path, np.stack(rows))
        on_step()
    return np.stack(rows)


def _read(path: Path) -> list[Landmarks]:
    try:
        known = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as err:
        raise InvalidInputError(f"{path.name} must be a .npy file without objects") from err
    if known.shape[1:] != (68, 2):
        raise InvalidInputError(f"{path.name} must hold 68 points a face, got {known.shape}")
    return list(known)
